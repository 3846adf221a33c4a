"""The shell's line over COM1, byte by byte: echo, editing, history, completion, type-ahead."""
import re
import time

import pytest

from console import COLOUR

pytestmark = pytest.mark.quick

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOMES = ["\x1b[H", "\x1b[1~", "\x1bOH", "\x01"]
ENDS = ["\x1b[F", "\x1b[4~", "\x1bOF", "\x05"]
DELETE, BACKSPACE, DEL = "\x1b[3~", "\b", "\x7f"
CTRL_C, CTRL_K, CTRL_L, CTRL_U, CTRL_W = "\x03", "\x0b", "\x0c", "\x15", "\x17"
LINE_LENGTH = 1024


def output_of(machine, typed):
    """What the typed keys and Enter make the shell print, without the line itself."""
    machine.send(typed + "\r")
    return machine.prompt()[1:]


def echo_of(machine, typed, until):
    """The bytes that come back for what is typed into the line, up to and with `until`."""
    machine.send(typed)
    machine.wait_for(until)
    return machine.before + until.encode()


# ---- Echo --------------------------------------------------------------------------------------

def test_each_character_is_echoed_as_itself(machine):
    for character in "echo Az~!\"#$%&'()*+,-./[]^_`{|}":
        assert echo_of(machine, character, character) == character.encode()
    machine.send(CTRL_C)
    machine.prompt()


def test_the_echo_is_the_line_and_nothing_else(machine):
    """No redrawing: for a line at the end of which everything is typed, also past the margin."""
    line = "echo " + "0123456789" * 20
    assert echo_of(machine, line + "\r", "\r\n") == line.encode() + b"\r\n"
    assert machine.prompt() == [line[5:]]


def test_the_prompt_is_written_once_and_at_the_start_of_a_line(machine):
    start = len(machine.received)
    for line in ("", "echo one", "", "no-such-command", "echo two"):
        machine.command(line)
    text = COLOUR.sub("", machine.received[start:].decode())
    assert text.count("ronin> ") == 5
    assert text.count("\r\nronin> ") == 5
    assert text.endswith("ronin> ")


@pytest.mark.parametrize("enter", ["\r", "\n", "\r\n"], ids=["CR", "LF", "CR LF"])
def test_enter(machine, enter):
    machine.send("echo one" + enter)
    assert machine.prompt() == ["echo one", "one"]
    machine.send("echo two" + enter)
    assert machine.prompt() == ["echo two", "two"]


def test_control_characters_without_a_meaning_are_ignored(machine):
    meaningless = "".join(map(chr, [0, 7, 0x0f, 0x11, 0x12, 0x13, 0x14, 0x16, 0x18, 0x19, 0x1a,
                                    0x1c, 0x1d, 0x1e, 0x1f]))
    machine.send(f"echo a{meaningless}b{meaningless}\r")
    assert machine.prompt() == ["echo ab", "ab"]


def test_unknown_escape_sequences_are_ignored(machine):
    assert output_of(machine, "echo a\x1b[99~\x1b[1;5Z\x1b[?25h\x1b[200;300Rb") == ["ab"]


def test_umlauts_over_com1(machine):
    assert machine.command("echo äöü €") == ["äöü €"]
    assert output_of(machine, "echo aü" + BACKSPACE + "b") == ["ab"]


# ---- Editing -----------------------------------------------------------------------------------

@pytest.mark.parametrize("typed, line", [
    ("echo abx" + BACKSPACE + "c", "abc"),
    ("echo abx" + DEL + "c", "abc"),
    (BACKSPACE * 3 + DEL + "echo a", "a"),
    ("echo ac" + LEFT + "b", "abc"),
    ("echo ad" + LEFT * 2 + RIGHT + "bc", "abcd"),
    ("echo axbc" + LEFT * 3 + DELETE, "abc"),
    ("echo abc" + DELETE, "abc"),
    ("echo abxc" + LEFT + BACKSPACE, "abc"),
    ("echo abc" + CTRL_U + "echo d", "d"),
    ("zzecho abc" + LEFT * 8 + CTRL_U, "abc"),
    ("echo abcdef" + LEFT * 3 + CTRL_K, "abc"),
    ("echo abc def" + CTRL_W, "abc"),
    ("echo abc def   " + CTRL_W + "ghi", "abc ghi"),
    ("echo abc def" + LEFT * 3 + CTRL_W, "def"),
    ("echo a" + RIGHT * 3 + "b", "ab"),
    (LEFT * 3 + "echo a", "a"),
    *[("cho abc" + home + "e", "abc") for home in HOMES],
    *[("cho ab" + HOMES[0] + "e" + end + "c", "abc") for end in ENDS],
], ids=repr)
def test_editing(machine, typed, line):
    assert output_of(machine, typed) == [line]


def test_ctrl_l_clears_the_screen_and_keeps_the_line(machine):
    machine.command("help")
    machine.send("echo kept" + CTRL_L)
    machine.wait_screen(lambda lines: lines[0] == "ronin> echo kept" and not any(lines[1:]))
    machine.send("\r")
    machine.wait_for("\r\nkept\r\n")
    machine.prompt()


def test_a_line_wider_than_the_screen_is_edited(machine):
    """The screen shows what the line is, after inserting and deleting in its first row."""
    machine.screen()
    wide = machine.columns
    text = "abcdefghij" * (wide // 10 + 4)
    machine.send("echo " + text + HOMES[0] + RIGHT * 5 + "XY" + DELETE * 2 + CTRL_L)
    shown = "ronin> echo XY" + text[2:]
    machine.wait_screen(lambda lines: lines[:3] == [shown[:wide], shown[wide:], ""])
    machine.send("\r")
    machine.wait_for("\r\nXY" + text[2:] + "\r\n")
    machine.prompt()


# ---- The longest line --------------------------------------------------------------------------

def test_a_line_may_hold_as_many_words_as_fit(machine):
    words = " ".join(["x"] * 500)
    assert machine.command("echo " + words) == [words]


def test_the_longest_line_is_taken(machine):
    words = "x" * (LINE_LENGTH - len("echo "))
    assert machine.command("echo " + words) == [words]


@pytest.mark.parametrize("length", [LINE_LENGTH + 1, 3000])
def test_a_longer_line_is_refused_at_enter(machine, length):
    machine.send("echo ".ljust(length, "y") + "\r")
    output = machine.prompt()
    assert re.fullmatch("error: .+", output[-1]) and "y" * 100 not in output[-1]
    assert len(output) == 2
    assert machine.command("echo after") == ["after"]


# ---- History and completion --------------------------------------------------------------------

def test_history(machine):
    for word in ("one", "two", "three"):
        machine.command(f"echo {word}")
    assert output_of(machine, UP) == ["three"]
    assert output_of(machine, UP * 3) == ["one"]
    assert output_of(machine, UP * 3 + DOWN) == ["three"]
    assert output_of(machine, UP + BACKSPACE * 5 + "four") == ["four"]


def test_history_keeps_the_line_begun(machine):
    machine.command("echo old")
    assert output_of(machine, "echo begun" + UP * 2 + DOWN * 2) == ["begun"]


def test_a_repeated_line_is_kept_once(machine):
    for word in ("first", "again", "again", ""):
        machine.command(f"echo {word}" if word else "")
    assert output_of(machine, UP * 2) == ["first"]


def test_tab_completes_a_command(machine):
    assert output_of(machine, "ech\tdone") == ["done"]
    assert output_of(machine, "keym\t") == ["us"]


def test_tab_completes_an_argument(machine):
    machine.send("crash invalid-o\t")
    machine.wait_for("crash invalid-opcode")
    machine.send(CTRL_C)
    machine.prompt()


def test_second_tab_lists_what_fits(machine):
    machine.send("mem\t\t")
    listed = machine.prompt()
    assert "meminfo" in listed[-1] and "memmap" in listed[-1]
    machine.wait_for("mem")
    machine.send("info\r")
    assert machine.prompt()[1].startswith("MemTotal:")


# ---- Ctrl-C, type-ahead, background ------------------------------------------------------------

def test_ctrl_c_gives_up_a_line(machine):
    machine.send("echo never" + CTRL_C)
    assert machine.prompt() == ["echo never^C"]
    assert machine.command("echo next") == ["next"]


def test_ctrl_c_stops_a_command(machine):
    machine.send("sleep 1000\r")
    machine.wait_for("sleep 1000\r\n")
    machine.send(CTRL_C)
    machine.prompt()
    assert machine.command("echo next") == ["next"]


def test_ctrl_c_gives_up_the_line_begun_while_a_command_ran(machine):
    machine.send("sleep 1000\r")
    machine.wait_for("sleep 1000\r\n")
    machine.send("begun and" + CTRL_C + "echo next\r")
    machine.wait_for("\r\nronin> echo next\r\nnext\r\n")
    machine.prompt()


def test_ctrl_c_leaves_whole_lines_typed_ahead(machine):
    machine.send("sleep 1000\r")
    machine.wait_for("sleep 1000\r\n")
    machine.send("echo whole\rbegun" + CTRL_C)
    machine.wait_for("\r\nronin> echo whole\r\nwhole\r\nronin> ")
    assert machine.command("echo next") == ["next"]


def test_ctrl_c_typed_ahead_right_behind_a_command_stops_it(machine):
    machine.send("sleep 1000\r" + CTRL_C)
    machine.prompt()
    assert machine.command("echo next") == ["next"]


def test_a_lone_lf_is_an_enter_also_behind_a_cr(machine):
    machine.send("\r")
    machine.prompt()
    time.sleep(0.05)    # as long as a person needs at least between two keys
    machine.send("\n")
    machine.prompt()


def test_lines_typed_ahead_run_in_their_order(machine):
    machine.send("sleep 0.5\recho one\recho two\r")
    machine.wait_for("\r\none\r\n")
    machine.wait_for("\r\ntwo\r\n")
    machine.prompt()


def test_4096_bytes_typed_ahead_are_kept(machine):
    """Sent while a command runs; only then the shell takes the first of them."""
    lines = [f"echo {i:02d}".ljust(127, "z") for i in range(32)]
    typed = "".join(line + "\r" for line in lines)
    assert len(typed) == 4096
    machine.send("sleep 2\r")
    machine.wait_for("sleep 2\r\n")
    machine.send(typed)
    for line in lines:
        machine.wait_for("\r\n" + line[5:] + "\r\n")
    machine.prompt()


def test_a_background_command_leaves_the_shell_free(machine):
    machine.command("sleep 1000 &")
    assert machine.command("echo free") == ["free"]
    assert any(" sleep " in line for line in machine.command("threads"))
    assert machine.command("kill sleep") == ["ok"]
    while any(" sleep " in line for line in machine.command("threads")):
        machine.command("sleep 0.05")


def test_many_background_commands_leave_nothing_behind(machine):
    machine.command("sleep 0 &")
    machine.command("sleep 0.1")
    before = machine.command("meminfo")[:3]
    for _ in range(20):
        machine.command("sleep 0.01 &")
    machine.command("sleep 0.3")
    while any(" sleep " in line for line in machine.command("threads")):
        machine.command("sleep 0.05")
    assert machine.command("meminfo")[:3] == before


@pytest.mark.parametrize("line", ["nonsense", "kill nobody", "keymap fr", "crash gently",
                                  "help nonsense"])
def test_unknown_names(machine, line):
    assert machine.one_line(line).startswith("error: unknown ")


@pytest.mark.parametrize("line", ["echo 'open", 'echo "open', "sleep", "sleep x", "sleep -1",
                                  "kill", "uptime 1", "reboot now", "poweroff now", "echo x &", "help a b"])
def test_wrong_lines(machine, line):
    assert re.fullmatch("(error|usage): .+", machine.one_line(line))


def test_a_reader_that_pauses_does_not_lose_com1(boot):
    """A terminal that takes nothing for a while: what it misses is gone, the shell is not."""
    machine = boot()
    machine.reading.clear()
    machine.send("peek 100000 1024\r" * 8 + "echo paused\r")
    machine.wait_screen(lambda lines: "paused" in lines)
    machine.reading.set()
    # While the line still stands, what the shell says is lost: ask until the answer is heard.
    while b"\r\nback again\r\n" not in machine.received:
        machine.send("echo back again\r")
        time.sleep(0.5)
        assert machine.process.poll() is None
