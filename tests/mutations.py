"""The changes that tests/mutate.py makes: C text in, mutants out.

The text is cut into tokens, and function bodies into statements; no more of C is understood than that.
A change that makes no sense does not compile and counts for nothing. Changed are function bodies,
bodies of macros, and initialisers; never declarations, assertions at compile time or comments.
"""
import bisect
import re

TOKEN = re.compile(r"""
    (?P<skip>   /\*.*?\*/ | //[^\n]* | \s+ | \\\n)
  | (?P<string> "(?:\\.|[^"\\])*")
  | (?P<char>   '(?:\\.|[^'\\])*')
  | (?P<number> 0[xX][0-9a-fA-F]+[uUlL]* | \d+[uUlL]*)
  | (?P<name>   [A-Za-z_]\w*)
  | (?P<op>     \.\.\. | <<= | >>= | -> | \+\+ | -- | << | >> | <= | >= | == | != | && | \|\|
              | [-+*/%&|^]= | [][(){}.,;:?~!<>=+*/%&|^#-])
""", re.VERBOSE | re.DOTALL)

BINARY = {
    "==": ["!="], "!=": ["=="], "<": ["<=", ">="], ">": [">=", "<="], "<=": ["<", ">"], ">=": [">", "<"],
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"], "&": ["|"], "|": ["&"], "^": ["|"],
    "<<": [">>"], ">>": ["<<"], "&&": ["||"], "||": ["&&"],
    "+=": ["-=", "="], "-=": ["+=", "="], "|=": ["&=", "="], "&=": ["|=", "="], "^=": ["|=", "="],
    "*=": ["/="], "/=": ["*="], "<<=": [">>="], ">>=": ["<<="], "++": ["--"], "--": ["++"],
}
KEYWORDS_BEFORE_OPERAND = {"return", "case", "sizeof", "else", "do"}
TYPE_WORDS = {"void", "char", "int", "short", "long", "unsigned", "signed", "const", "volatile", "bool",
              "struct", "union", "enum", "static", "float", "double"}
HEADS = {"if", "while", "for", "switch"}
LOWEST = {"=", ",", ";", "{", "}", "?", ":", "return", "+=", "-=", "|=", "&=", "^="}
CLOSING = {"(": ")", "[": "]", "{": "}"}


class Token:
    def __init__(self, kind, text, start):
        self.kind, self.text, self.start, self.end = kind, text, start, start + len(text)


class Mutant:
    """The text from `start` to `end` replaced, and where that is for a reader."""

    def __init__(self, start, end, new, change):
        self.start, self.end, self.new, self.change = start, end, new, change
        self.file = self.function = self.source = ""
        self.line = self.column = 0

    def apply(self, text):
        """Lines keep their numbers: an assertion says where it stands."""
        lost = text.count("\n", self.start, self.end) - self.new.count("\n")
        return text[:self.start] + self.new + "\n" * lost + text[self.end:]

    @property
    def key(self):
        """Names the mutant as long as its line and function stay as they are."""
        return (f"{self.file} {self.function}", self.source, self.change)

    def __str__(self):
        return f"{self.file}:{self.line}:{self.column}: {self.change}"


def tokens_of(text, start=0):
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"no token of C: {text[at:at + 20]!r}")
        if match.lastgroup != "skip":
            found.append(Token(match.lastgroup, match.group(), start + at))
        at = match.end()
    return found


def without_directives(text):
    """The text with blanks for directives, and what macros stand for: (start, body) of each."""
    macros, kept = [], list(text)
    comments = [m.span() for m in re.finditer(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", text, re.DOTALL)]
    for match in re.finditer(r"^[ \t]*#(?:/\*.*?\*/|\\\n|[^\n])*", text, re.MULTILINE | re.DOTALL):
        if any(start < match.start() < end for start, end in comments):
            continue
        define = re.match(r"[ \t]*#[ \t]*define[ \t]+\w+(\([^)]*\))?", match.group())
        if define:
            macros.append((match.start() + define.end(), match.group()[define.end():]))
        for i in range(*match.span()):
            kept[i] = "\n" if text[i] == "\n" else " "
    return "".join(kept), macros


def closing(tokens, i):
    """The index of the bracket that closes the one at i."""
    wanted, depth = CLOSING[tokens[i].text], 0
    for j in range(i, len(tokens)):
        depth += (tokens[j].text == tokens[i].text) - (tokens[j].text == wanted)
        if depth == 0:
            return j
    raise ValueError("a bracket is not closed")


# ---- Operators, numbers, texts --------------------------------------------------------------


def is_cast(tokens, close):
    """Whether the parenthesis that ends at `close` holds a type and nothing else."""
    i = close - 1
    while i >= 0 and (tokens[i].kind == "name" or tokens[i].text == "*"):
        i -= 1
    names = [t.text for t in tokens[i + 1:close] if t.kind == "name"]
    return tokens[i].text == "(" and bool(names) and (
        names[0] in TYPE_WORDS or (names[-1].endswith("_t") and len(names) == 1))


def ends_operand(tokens, i):
    """Whether a value ends at token i, so that the next operator has two sides."""
    if i < 0:
        return False
    token = tokens[i]
    if token.kind == "name":
        names_type = token.text in TYPE_WORDS or token.text.endswith("_t") or \
            (i > 0 and tokens[i - 1].text in ("struct", "union", "enum"))
        return not names_type and token.text not in KEYWORDS_BEFORE_OPERAND
    if token.text == ")":
        return not is_cast(tokens, i)
    return token.kind in ("number", "string", "char") or token.text == "]"


def change_number(text):
    digits, suffix = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)", text).groups()
    value = int(digits, 0)
    show = (lambda n: f"{n:#x}{suffix}") if digits[:2].lower() == "0x" else (lambda n: f"{n}{suffix}")
    return [show(value + 1)] + ([show(value - 1)] if value > 0 else [])


def token_mutants(tokens, i):
    token = tokens[i]
    new = []
    if token.kind == "number":
        new = change_number(token.text)
    elif token.kind == "char":
        new = [f"({token.text} + 1)"]
    elif token.kind == "string" and token.text != '""':
        new = ['""']
    elif token.text in ("true", "false"):
        new = ["false" if token.text == "true" else "true"]
    elif token.text in ("!", "~") or (token.text == "-" and not ends_operand(tokens, i - 1)):
        new = [" "]
    elif token.text in ("++", "--"):
        new = BINARY[token.text]
    elif token.text in BINARY and ends_operand(tokens, i - 1):
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if not (token.text == "*" and after in (")", ",")):
            new = BINARY[token.text]
    for text in new:
        yield Mutant(token.start, token.end, text,
                     f"{token.text} -> {text}" if text.strip() else f"{token.text} deleted")


def choice_mutant(tokens, i, text):
    """`a ? b : c`, the question mark at i: with a negated."""
    first, depth = i, 0
    while first > 0:
        before = tokens[first - 1].text
        if before in (")", "]", "}"):
            depth += 1
        elif before in ("(", "[", "{"):
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and before in LOWEST:
            break
        first -= 1
    return replaced(tokens, first, i - 1, "!({})", text)


def replaced(tokens, first, last, pattern, text):
    start, end = tokens[first].start, tokens[last].end
    old = text[start:end]
    new = pattern.format(old)
    return Mutant(start, end, new, f"{shown(old)} -> {shown(new)}")


def shown(text):
    return re.sub(r"\s+", " ", text)


# ---- Statements -----------------------------------------------------------------------------


class Body:
    """The statements of a function, `tokens` from its brace to the closing one."""

    def __init__(self, tokens, text):
        self.tokens, self.text, self.found = tokens, text, []
        self.block(0, True)

    def word(self, i):
        return self.tokens[i].text

    def block(self, i, outermost=False):
        """The block whose brace is at i; returns what follows it."""
        end = closing(self.tokens, i)
        i += 1
        while i < end:
            i = self.statement(i, outermost, end)
        return end + 1

    def statement(self, i, outermost=False, end=-1):
        word = self.word(i)
        if word == "{":
            return self.block(i)
        if word in HEADS:
            return self.head(i)
        if word == "else":
            return self.statement(i + 1)
        if word == "do":
            i = self.statement(i + 1)
            close = closing(self.tokens, i + 1)
            self.found.append(replaced(self.tokens, i + 2, close - 1, "0", self.text))
            return close + 2
        if word in ("case", "default"):
            while self.word(i) != ":":
                i += 1
            return i + 1
        return self.simple(i, outermost, end)

    def head(self, i):
        """if, while, switch, for: what it decides on is decided."""
        word, open_, close = self.word(i), i + 1, closing(self.tokens, i + 1)
        if word == "if":
            self.decided(open_ + 1, close, ["1", "0"])
        elif word == "while":
            self.decided(open_ + 1, close, ["0"])
        elif word == "for":
            parts = [j for j in range(open_, close) if self.word(j) == ";"]
            self.decided(parts[0] + 1, parts[1], ["0"])
        return self.statement(close + 1)

    def decided(self, first, end, values):
        for value in values if end > first else []:
            self.found.append(replaced(self.tokens, first, end - 1, value, self.text))

    def simple(self, i, outermost, end):
        first = i
        while self.word(i) != ";":
            i = closing(self.tokens, i) + 1 if self.word(i) in CLOSING else i + 1
        if i > first and not self.declares(first):
            last = outermost and i + 1 == end
            value = [token.text for token in self.tokens[first + 1:i]]
            if self.word(first) == "return" and value and value not in (["true"], ["false"]):
                self.found.append(replaced(self.tokens, first + 1, i - 1, "!({})", self.text))
            if not (last and self.word(first) == "return"):
                start, stop = self.tokens[first].start, self.tokens[i - 1].end
                self.found.append(Mutant(start, stop, "", f"{shown(self.text[start:stop])} deleted"))
        return i + 1

    def declares(self, i):
        if self.word(i) in TYPE_WORDS or self.word(i) == "_Static_assert":
            return True
        if self.tokens[i].kind != "name" or self.word(i) in ("return", "goto"):
            return False
        i += 1
        while self.word(i) == "*":
            i += 1
        return self.tokens[i].kind == "name"


# ---- A whole file ---------------------------------------------------------------------------


def functions(tokens):
    """(name, index of the brace, index of the closing one) of each function."""
    i = 0
    while i < len(tokens):
        if tokens[i].text != "{":
            i += 1
            continue
        end = closing(tokens, i)
        j = i - 1
        while j > 0 and tokens[j].kind == "name":
            j -= 1  # attributes behind the parameters
        if tokens[j].text == ")":
            depth = 0
            while True:
                depth += (tokens[j].text == ")") - (tokens[j].text == "(")
                if depth == 0:
                    break
                j -= 1
            yield tokens[j - 1].text, i, end
        i = end + 1


def initialisers(tokens, bodies):
    """[first, end) of what stands between `=` and `;` outside of functions."""
    i = 0
    while i < len(tokens):
        body = next((end for _, start, end in bodies if start == i), None)
        if body is not None:
            i = body
        elif tokens[i].text == "=":
            first = i + 1
            while tokens[i].text != ";":
                i += 1
            yield first, i
        i += 1


def expression_mutants(tokens, text):
    for i, token in enumerate(tokens):
        yield from token_mutants(tokens, i)
        if token.text == "?":
            yield choice_mutant(tokens, i, text)


def place(mutant, file, function, text, starts):
    mutant.file, mutant.function = file, function
    mutant.line = bisect.bisect_right(starts, mutant.start)
    mutant.column = mutant.start - starts[mutant.line - 1] + 1
    mutant.source = text.split("\n", mutant.line)[mutant.line - 1].strip()


def mutants(file, text):
    """All mutants of a source, in its order."""
    plain, macros = without_directives(text)
    tokens = tokens_of(plain)
    bodies = list(functions(tokens))
    found = []
    for start, body in macros:
        found += [("#define", m) for m in expression_mutants(tokens_of(body, start), text)]
    for first, end in initialisers(tokens, bodies):
        found += [("data", m) for m in expression_mutants(tokens[first:end], text)]
    for name, start, end in bodies:
        inside = tokens[start:end + 1]
        checked = [(t.start, inside[closing(inside, i + 1)].end) for i, t in enumerate(inside)
                   if t.text == "_Static_assert"]
        changes = list(expression_mutants(inside, text)) + Body(inside, text).found
        found += [(name, m) for m in changes
                  if not any(a <= m.start < b for a, b in checked)]
    starts = [0] + [m.end() for m in re.finditer("\n", text)]
    for function, mutant in found:
        place(mutant, file, function, text, starts)
    return number_alike(sorted((m for _, m in found), key=lambda m: (m.start, -m.end, m.change)))


def number_alike(sorted_mutants):
    """The second change of the same kind in a line is called so."""
    seen = {}
    for mutant in sorted_mutants:
        place_and_change = (mutant.line, mutant.change)
        seen[place_and_change] = seen.get(place_and_change, 0) + 1
        if seen[place_and_change] > 1:
            mutant.change += f" ({seen[place_and_change]})"
    return sorted_mutants
