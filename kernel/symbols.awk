# Makes the assembler source of the kernel's symbol table from lines "ADDRESS NAME", sorted by
# address: symbol_count, then symbol_table with the address and the offset of the name, then
# symbol_names. kernel/symbols.c reads it.

BEGIN {
    print "\t.section .symbols, \"a\""
    print "\t.balign 4"
    print "\t.global symbol_count, symbol_table, symbol_names"
    print "symbol_table:"
}

{
    print "\t.long 0x" $1 ", " offset + 0
    names = names "\t.asciz \"" $2 "\"\n"
    offset += length($2) + 1
}

END {
    print "symbol_count:\t.long " NR
    print "symbol_names:"
    printf "%s", names
    print "\t.byte 0"
    print "\t.section .note.GNU-stack, \"\", @progbits"
}
