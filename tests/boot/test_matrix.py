"""Screen and keyboard on every machine of the matrix (cells.py).

Each cell comes up to the prompt, answers `meminfo` typed on its keyboard, and shows on its screen
what it said over COM1.
"""
import pytest

import cells
import images
import other_machines


def mark(cell):
    return pytest.mark.quick if cell.quick else pytest.mark.full


@pytest.mark.parametrize("cell", [pytest.param(cell, marks=mark(cell), id=f"{cell.part}: {cell.name}")
                                  for cell in cells.CELLS])
def test_cell(start, cell, record_property):
    image = images.make_image(video=cell.video) if cell.video else None
    machine = start(image, **cell.machine_options())
    boot = machine.prompt()

    keyboard = cells.KEYBOARDS[cell.keyboard]
    if keyboard.plugged_later:
        machine.plug(cells.HOT_PLUGGED)
        machine.wait_for(keyboard.said)
        machine.prompt()
    else:
        assert any(line.startswith(keyboard.said) for line in boot)

    machine.type("meminfo\n")
    said = machine.prompt()[1:]
    assert said[0].startswith("MemTotal:")
    if cell.screen:
        machine.wait_screen(lambda lines: shows(lines, [*said, "ronin>"]))
    record_property("screen", machine.screen_mode() if cell.screen else "none")


@pytest.mark.full
@pytest.mark.parametrize("name", cells.OTHERS)
def test_other_machine(name, record_property):
    kind, words, keyboard = cells.OTHERS[name]
    machine = getattr(other_machines, kind)(*words)
    try:
        assert any(line.startswith(keyboard) for line in machine.prompt())
        machine.type("meminfo\n")
        said = machine.prompt()[1:]
        assert said[0].startswith("MemTotal:")
        machine.wait_screen(lambda lines: shows(lines, [*said, "ronin>"]))
        record_property("screen", machine.screen_mode())
    finally:
        machine.close()


def shows(lines, wanted):
    """Whether the lines stand on the screen one below the other."""
    return any(lines[at:at + len(wanted)] == wanted for at in range(len(lines)))
