/*
 * The screen's font, a PSF file that the Makefile unpacks from Debian's console-setup-linux.
 */
        .section .rodata
        .balign 4
        .global font_start, font_end
font_start:
        .incbin FONT
font_end:

        .section .note.GNU-stack, "", @progbits
