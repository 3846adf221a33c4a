"""Which keys type a character: QEMU's key names, by the layout that stands on the keyboard.

Each row is written as it lies on the keyboard; a blank is a key without a character on that level.
"""
ROWS = [
    "grave_accent 1 2 3 4 5 6 7 8 9 0 minus equal".split(),
    "q w e r t y u i o p bracket_left bracket_right".split(),
    "a s d f g h j k l semicolon apostrophe backslash".split(),
    "less z x c v b n m comma dot slash".split(),
]

US = {
    (): ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", " zxcvbnm,./"],
    ("shift",): ["~!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"|", " ZXCVBNM<>?"],
}
GERMAN = {
    (): ["^1234567890ß´", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"],
    ("shift",): ["°!\"§$%&/()=?`", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"],
    ("alt_r",): ["  ²³   {[]}\\ ", "@ €        ~", "            ", "|      µ   "],
}


def _layout(levels):
    keys = {" ": ["spc"], "\n": ["ret"], "\t": ["tab"]}
    for modifiers, rows in levels.items():
        for names, characters in zip(ROWS, rows, strict=True):
            for name, character in zip(names, characters, strict=True):
                if character != " ":
                    keys[character] = [*modifiers, name]
    return keys


LAYOUTS = {"us": _layout(US), "de": _layout(GERMAN)}
