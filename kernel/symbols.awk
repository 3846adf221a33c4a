# Makes the assembler source of the kernel's tables of functions, source lines and variables, which
# kernel/symbols.c reads, from three files:
#
#   functions.txt   ADDRESS NAME, sorted by address
#   lines.txt       ADDRESS FILE LINE, sorted by address; "?" and 0 where the file is not known
#   variables.txt   ADDRESS SIZE NAME, sorted by address
#
# usage: awk -f symbols.awk -v lines=LINES -v variables=VARIABLES FUNCTIONS
#
# symbol_table has for each function its address, the offset of its name in symbol_names and of its
# lines in symbol_lines, and an entry behind the last. A function's lines are steps of a byte and what
# follows it:
#
#   high four bits   how far the address moves, 0 to 14; 15: by 15 and the bytes that follow, up to and
#                    with the first that is not 255
#   low four bits    how far the line, -6 to 7, plus 6; 14: by the next byte, -127 to 127 in two's
#                    complement; 15: file and line follow, two bytes each, the low one first
#
# A file is an index into symbol_files, which has offsets in symbol_names.
#
# variable_table has for each variable its address, the offset of its name and its size.

function number(hex,    value, i) { # of awk's own, only gawk reads hexadecimal
    for (i = 1; i <= length(hex); i++)
        value = 16 * value + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return value
}

function name_at(name) {
    if (!(name in names_at)) {
        names_at[name] = names_length + 0
        names = names "\t.asciz \"" name "\"\n"
        names_length += length(name) + 1
    }
    return names_at[name]
}

function put(byte) {
    steps = steps (steps_length++ % 16 ? "," : "\n\t.byte ") byte
}

function put_half_word(value) {
    put(value % 256)
    put(int(value / 256))
}

function put_row(row, at, file, line,    distance, moved, low) {
    distance = row_address[row] - at
    moved = row_line[row] - line
    low = 15
    if (row_file[row] == file && moved >= -127 && moved <= 127)
        low = moved >= -6 && moved <= 7 ? moved + 6 : 14
    put((distance < 15 ? distance : 15) * 16 + low)
    if (distance >= 15) {
        for (distance -= 15; distance >= 255; distance -= 255)
            put(255)
        put(distance)
    }
    if (low == 14)
        put((moved + 256) % 256)
    if (low == 15) {
        put_half_word(row_file[row])
        put_half_word(row_line[row])
    }
}

# The rows in [start, end), but those that say the same as the one before.
function put_rows(start, end,    at, file, line) {
    at = start
    file = -1
    while (next_row < rows && row_address[next_row] < start)
        next_row++
    for (; next_row < rows && row_address[next_row] < end; next_row++) {
        if (row_file[next_row] == file && row_line[next_row] == line)
            continue
        put_row(next_row, at, file, line)
        at = row_address[next_row]
        file = row_file[next_row]
        line = row_line[next_row]
    }
}

function end_function(end) {
    if (NR > 1)
        put_rows(start, end)
}

BEGIN {
    rows = next_row = 0
    while ((getline row < lines) > 0) {
        split(row, part, " ")
        if (!(part[2] in file_number)) {
            file_number[part[2]] = files + 0
            file_list = file_list "\t.long " name_at(part[2]) "\n"
            files++
        }
        row_address[rows] = number(part[1])
        row_file[rows] = file_number[part[2]]
        row_line[rows++] = part[3]
    }
    print "\t.section .symbols, \"a\""
    print "\t.balign 4"
    print "\t.global symbol_count, symbol_table, symbol_names, symbol_files, symbol_lines"
    print "\t.global variable_count, variable_table"
    print "symbol_table:"
}

{
    end_function(number($1))
    start = number($1)
    print "\t.long 0x" $1 ", " name_at($2) + 0 ", " steps_length + 0
}

END {
    put_rows(start, 4294967296)
    print "\t.long 0xffffffff, 0, " steps_length + 0
    print "symbol_count:\t.long " NR
    print "variable_table:"
    while ((getline row < variables) > 0) {
        split(row, part, " ")
        sub(/\.[0-9]+$/, "", part[3]) # that of a variable inside a function
        print "\t.long 0x" part[1] ", " name_at(part[3]) ", 0x" part[2]
        count++
    }
    print "variable_count:\t.long " count + 0
    print "symbol_files:"
    printf "%s", file_list
    print "symbol_lines:"
    print steps
    print "\t.byte 0"
    print "symbol_names:"
    printf "%s", names
    print "\t.byte 0"
    print "\t.section .note.GNU-stack, \"\", @progbits"
}
