"""The image starts by each firmware from each medium."""
import pytest

FULL = pytest.mark.full
QUICK = pytest.mark.quick


@pytest.mark.parametrize("firmware, media", [
    pytest.param("uefi", "cdrom", marks=FULL),
    pytest.param("uefi", "disk", marks=FULL),
    pytest.param("uefi", "usb", marks=FULL),
    pytest.param("uefi32", "cdrom", marks=FULL),
    pytest.param("uefi32", "disk", marks=FULL),
    pytest.param("uefi32", "usb", marks=FULL),
])
def test_uefi_reaches_the_shell(boot, firmware, media):
    machine = boot(firmware=firmware, media=media)
    assert "meminfo" in "\n".join(machine.command("help"))
    assert machine.command("heap_test")[-1] == "heap_test: PASS"


@QUICK
def test_uefi_selftest_and_poweroff(boot):
    machine = boot(firmware="uefi")
    assert machine.command("selftest")[-1].endswith(" 0 failed")
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
