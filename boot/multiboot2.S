/*
 * The Multiboot2 header. GRUB searches the first 32 KiB of the image for it.
 *
 * Left out on purpose: the relocatable tag (the kernel would be moved away from the address it
 * is linked at), the EFI boot services tag and a required memory map tag (GRUB's versions differ
 * in what they do with those).
 *
 * Source: Multiboot2 Specification 2.0, "Header layout".
 */
#define MAGIC           0xe85250d6
#define ARCHITECTURE    0 /* i386, protected mode */
#define TAG_END         0
#define TAG_FRAMEBUFFER 5
#define OPTIONAL        1 /* text, or no screen at all, will do as well */

        .section .multiboot2, "a"
        .balign 8
header:
        .long   MAGIC
        .long   ARCHITECTURE
        .long   header_end - header
        .long   -(MAGIC + ARCHITECTURE + (header_end - header))

        .balign 8
        .short  TAG_FRAMEBUFFER
        .short  OPTIONAL
        .long   20
        .long   1024, 768, 32           /* preferred: width, height, bits of a pixel */

        .balign 8
        .short  TAG_END
        .short  0
        .long   8
header_end:

        .section .note.GNU-stack, "", @progbits
