"""The emulated keyboard and the text screen, and that both agree with COM1."""
import pytest

pytestmark = pytest.mark.quick

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def typed_echo(machine, text, layout):
    """Types `echo` and the text in quotes on the keyboard; returns what the shell prints."""
    quote = '"' if "'" in text else "'"
    machine.type(f"echo {quote}{text}{quote}\n", layout)
    return machine.prompt()[1]


def clear(machine):
    """An empty screen but for the prompt."""
    machine.send("\x0c")
    machine.wait_for("ronin> ")
    machine.wait_screen(lambda lines: lines[0] == "ronin>" and not any(lines[1:]))


@pytest.fixture
def german(machine):
    machine.command("keymap de")
    yield machine
    machine.command("keymap us")


# ---- Keyboard ----------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    LETTERS, LETTERS.upper(), "1234567890-=[];,./`", "!@#$%^&*()_+{}:<>?~|", "\"", "'"])
def test_us_keyboard(machine, text):
    assert typed_echo(machine, text, "us") == text


@pytest.mark.parametrize("text", [
    LETTERS, LETTERS.upper(), "äöüßÄÖÜ", "1234567890+#,.-<^", "!§$%&/()=?*;:_>°", "@€{[]}|~²³µ",
    "\"", "'"])
def test_german_keyboard(german, text):
    assert typed_echo(german, text, "de") == text


@pytest.mark.parametrize("layout, letters", [("us", "aZ1/"), ("de", "aZ1äÖ")])
def test_caps_lock_turns_letters_over_and_nothing_else(machine, layout, letters):
    machine.command(f"keymap {layout}")
    machine.type("echo ")
    machine.press("caps_lock")
    machine.type(letters, layout)
    machine.press("caps_lock")
    machine.type("z\n", layout)
    assert machine.prompt()[1] == letters.swapcase() + "z"
    machine.command("keymap us")


def test_keys_that_edit(machine):
    machine.type("ech a")
    for name in ("left", "left"):
        machine.press(name)
    machine.type("o")
    machine.press("end")
    machine.type("bcx")
    machine.press("backspace")
    machine.press("home")
    machine.type("z")
    machine.press("left")
    machine.press("delete")
    machine.press("ret")
    assert machine.prompt()[-1] == "abc"


def test_keypad(machine):
    """Num Lock is on: it types digits; the arrows beside it move."""
    machine.type("echo ")
    for name in ("kp_1", "kp_2", "kp_add", "kp_3", "left", "kp_9"):
        machine.press(name)
    machine.press("kp_enter")
    assert machine.prompt()[-1] == "12+93"


def test_history_and_ctrl_on_the_keyboard(machine):
    machine.command("echo remembered")
    machine.press("up")
    machine.press("ret")
    assert machine.prompt()[-1] == "remembered"
    machine.type("echo dropped")
    machine.press("ctrl", "c")
    assert machine.prompt()[-1].endswith("^C")
    machine.type("sleep 1000\n")
    machine.wait_for("sleep 1000\r\n")
    machine.press("ctrl_r", "c")
    machine.prompt()


def test_both_kinds_of_keys_go_into_one_line(machine):
    machine.send("echo from")
    machine.wait_for("from")
    machine.type("both\n")
    assert machine.prompt()[-1] == "fromboth"


# ---- Screen ------------------------------------------------------------------------------------

@pytest.fixture(params=["framebuffer", "text"])
def display(request):
    """A shared machine with each kind of screen."""
    shown = request.getfixturevalue("machine" if request.param == "framebuffer" else "text_machine")
    shown.screen()
    return shown


def test_the_screen_shows_what_com1_says(display):
    clear(display)
    expected = []
    for line in ("keymap", "echo some words", "no-such-command", "meminfo"):
        expected += [f"ronin> {line}", *display.command(line)]
    expected.append("ronin>")
    assert len(expected) <= display.rows
    display.wait_screen(lambda lines: lines[:len(expected)] == expected)


def test_long_lines_wrap(display):
    clear(display)
    text = "".join(chr(33 + i % 90) for i in range(display.columns * 2 + 10))
    text = text.replace("'", "-").replace('"', "-")
    display.command(f"echo '{text}'")
    expected = [*wrapped(f"ronin> echo '{text}'", display), *wrapped(text, display), "ronin>"]
    display.wait_screen(lambda lines: lines[:7] == expected)


def wrapped(text, display):
    return [text[at:at + display.columns] for at in range(0, len(text), display.columns)]


def test_german_letters_on_the_screen(display):
    clear(display)
    letters = "ÄÖÜäöüß§°µ²"
    display.command(f"echo {letters}")
    if display.columns == 80:       # text mode's character set has its section sign elsewhere
        letters = letters.replace("§", "\x15")
    display.wait_screen(lambda lines: lines[1] == letters)


def test_shift_page_up_looks_back_and_the_next_output_returns(display):
    count = display.rows + 15
    newest = f"row {count - 1}"
    for i in range(count):
        display.command(f"echo row {i}")
    last = display.wait_screen(lambda lines: lines[-2:] == [newest, "ronin>"])
    assert "row 5" not in last
    for _ in range(8):
        display.press("shift", "pgup")
    display.wait_screen(lambda lines: "row 5" in lines and newest not in lines)
    for _ in range(20):
        display.press("shift", "pgdn")
    display.wait_screen(lambda lines: lines == last)

    display.press("shift", "pgup")
    display.wait_screen(lambda lines: newest not in lines)
    display.command("echo new")
    display.wait_screen(lambda lines: "new" in lines and newest in lines)


def test_a_message_stands_above_the_open_line(display):
    """Here a background command's; what is typed so far follows it unharmed."""
    clear(display)
    display.send("heap_test &\recho unha")
    display.wait_screen(lambda lines: "heap_test: PASS" in lines and "ronin> echo unha" in lines)
    display.send("rmed\r")
    display.wait_for("\r\nunharmed\r\n")
    display.prompt()
