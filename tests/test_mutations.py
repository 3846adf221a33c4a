"""The changes that tests/mutate.py makes: which there are, where, and which there are not."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mutations  # noqa: E402

pytestmark = pytest.mark.quick


def changes(statement, head="int f(int a, int *b)"):
    return [m.change for m in mutations.mutants("x.c", f"{head}\n{{\n{statement}\n}}\n")]


@pytest.mark.parametrize("statement, expected", [
    ("int c = a < *b;", ["< -> <=", "< -> >="]),
    ("int c = a - -*b;", ["- -> +", "- deleted"]),
    ("int c = (a) * *b;", ["* -> /"]),
    ("int c = a & *(int *)b;", ["& -> |"]),
    ("int *c = &b[a];", []),
    ("int c = (int)*b;", []),
    ("int c = (uint8_t)~a;", ["~ deleted"]),
    ("int c = !a || a->b;", ["! deleted", "|| -> &&"]),
    ("int c = sizeof(int *);", []),
    ("struct block *c = b;", []),
    ("int c = 0;", ["0 -> 1"]),
    ("int c = 0xffu;", ["0xffu -> 0x100u", "0xffu -> 0xfeu"]),
    ("char c = 'x';", ["'x' -> ('x' + 1)"]),
    ('char *c = "x";', ['"x" -> ""']),
    ('char *c = ""; /* + 1 */ // - 1', []),
    ("int c = a > 1 ? a : *b;", ["a > 1 -> !(a > 1)", "> -> <=", "> -> >=", "1 -> 0", "1 -> 2"]),
    ("int c = g(a, a ? a : *b);", ["a -> !(a)"]),
    ("_Static_assert(1 + 1 == 2, \"sum\");", []),
])
def test_expressions(statement, expected):
    assert sorted(changes(statement)) == sorted(expected)


@pytest.mark.parametrize("statement, expected", [
    ("g();", ["g() deleted"]),
    ("*b = a;", ["*b = a deleted"]),
    ("b[a]++;", ["b[a]++ deleted", "++ -> --"]),
    ("if (a) g();", ["a -> 0", "a -> 1", "g() deleted"]),
    ("if (a) { g(); } else h();", ["a -> 0", "a -> 1", "g() deleted", "h() deleted"]),
    ("while (a) g();", ["a -> 0", "g() deleted"]),
    ("do { g(); } while (a); h();", ["a -> 0", "g() deleted", "h() deleted"]),
    ("for (;;) { if (a) break; }", ["a -> 0", "a -> 1", "break deleted"]),
    ("for (; a; h()) g();", ["a -> 0", "g() deleted"]),
    ("switch (a) { case X: g(); break; default: h(); }",
     ["g() deleted", "break deleted", "h() deleted"]),
    ("return a;", ["a -> !(a)"]),                     # without it there is no result at all
    ("if (*b) return a; return *b;", ["*b -> 0", "*b -> 1", "return a deleted", "a -> !(a)",
                                      "*b -> !(*b)"]),
    ("return true;", ["true -> false"]),
    ("size_t c; entry_t *d;", []),
])
def test_statements(statement, expected):
    assert sorted(changes(statement)) == sorted(expected)


def test_outside_of_functions():
    text = ('#include <a.h>\n#define N (2 + X) /* 3 */\n#define M(a) ((a) - \\\n    4)\n'
            "#if 5 > 6\n#endif\nint g(int h[7]);\nenum { A = B };\nint i = 8;\n")
    assert [(m.line, m.change) for m in mutations.mutants("x.h", text)] == [
        (2, "2 -> 1"), (2, "2 -> 3"), (2, "+ -> -"), (3, "- -> +"), (4, "4 -> 3"), (4, "4 -> 5"),
        (9, "8 -> 7"), (9, "8 -> 9")]


def test_a_mutant_is_the_text_but_for_one_place():
    text = "void f(void)\n{\n    g(1,\n      2);\n}\n"
    found = mutations.mutants("x.c", text)
    gone = next(m for m in found if m.change == "g(1, 2) deleted")
    assert gone.apply(text) == "void f(void)\n{\n    \n;\n}\n"    # other lines keep their numbers
    assert (gone.line, gone.column) == (3, 5)
    assert gone.key == ("x.c f", "g(1,", "g(1, 2) deleted")


def test_alike_ones_have_names_of_their_own():
    text = "int f(int a)\n{\n    return a + 1 + 1;\n}\n"
    found = [m.change for m in mutations.mutants("x.c", text)]
    assert found.count("+ -> -") == found.count("+ -> - (2)") == 1
    assert len(set(found)) == len(found)
