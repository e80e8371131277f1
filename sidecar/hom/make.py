#!/usr/bin/env python3
"""Writes catalogue.txt from selection.txt and type stubs of `hou`.

    python3 -m venv /tmp/stubs && /tmp/stubs/bin/pip install types-houdini==21.0.512.3
    python3 make.py /tmp/stubs/lib/python3*/site-packages/hou-stubs/__init__.pyi

The stubs (MIT) are read for three facts: which names exist, what class comes from what
class, and what a call gives. Which names are in a list, and why the others are not, is
written by hand in selection.txt. `--check` writes nothing and fails when catalogue.txt is
not what would be written.
"""

import argparse
import ast
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent

# What begins so changes something. Nothing is put into a list by this, only left out.
WRITES = re.compile(
    r"(set|add|remove|create|delete|destroy|clear|insert|append|copy|paste|move|save|load"
    r"|reset|resize|revert|change|allow|run|show|hide|select|deselect|findOrCreate|replace"
    r"|rename|merge|convert|update|refresh|play|stop|reverse|jump|frameBookmark|release)"
    r"(?![a-z])"
)
REASONS = set(
    "sync lookup name state about text evaluate userData math values operator".split()
)
DOUBTS = set(
    "expand code callbacks files places writes unneeded cooks menus asCode userData".split()
)
# What a parm or an attribute holds: nearly always numbers or texts.
MOSTLY_PLAIN = {"eval", "evalAtFrame", "evalAtTime", "evalParm", "evalParmTuple", "attribValue"}
# A node that is given is at run time always one of these, or of a class made from it.
CONCRETE = {"Node": "OpNode", "NodeType": "OpNodeType", "NodeTypeCategory": "OpNodeTypeCategory"}


# Numbers and texts, alone or in tuples.
PLAIN = set("int float str bool bytes None Tuple Union Optional AttribReturnType ParmArgType".split())


class Stubs:
    def __init__(self, path):
        self.functions, self.classes, self.bases, self.values = {}, {}, {}, {}
        self.others = set()
        for item in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(item, ast.FunctionDef):
                self.functions.setdefault(item.name, item)
            elif isinstance(item, ast.ClassDef):
                self.bases[item.name] = [ast.unparse(base) for base in item.bases]
                methods, values = {}, set()
                for member in item.body:
                    if isinstance(member, ast.FunctionDef):
                        methods.setdefault(member.name, member)
                    elif isinstance(member, ast.AnnAssign):
                        values.add(member.target.id)
                self.classes[item.name] = methods
                self.values[item.name] = values - {"thisown", "__swig_destroy__"}
            elif isinstance(item, ast.AnnAssign):
                self.others.add(item.target.id)

    def gives(self, function, owner=None):
        """The class that a call gives, as one word: `hou.Parm`, `*hou.Node`, `value`, `-`."""
        if function.name in MOSTLY_PLAIN:
            return "value"
        text = ast.unparse(function.returns) if function.returns else ""
        text = re.sub(r"\bSelf\b", owner or "Self", text)
        if text and PLAIN.issuperset(re.findall(r"[^\W]+", text)):
            return "value"
        text = re.sub(r"Optional\[(.*)\]$", r"\1", text.replace(" | None", ""))
        if re.match(r"(dict|Dict)\b", text):
            return "builtins.dict"
        many = re.match(r"(?:Tuple|tuple|Sequence|list|List)\[(\w+)(?:, \.\.\.)?\]$", text)
        if many:
            return "*" + self.word(many.group(1))
        if re.match(r"Iterator|.*TupleGenerator", text) and text not in self.classes:
            return "builtins.generator"
        return self.word(text)

    def word(self, text):
        text = CONCRETE.get(text, text)
        if text in self.classes:
            return "hou." + text
        if text == "datetime.datetime":
            return text
        return "value" if text in ("int", "float", "str", "bool", "bytes", "None") else "-"


def read_selection():
    section = None
    for number, line in enumerate((HERE / "selection.txt").read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            name, _, kind = line.strip("[]").partition(" ")
            section = (name, kind or "type", {}, [])
            yield section
            continue
        reason, _, names = line.partition(":")
        out = reason.startswith("-")
        reason = reason.lstrip("-")
        if reason not in (DOUBTS if out else REASONS):
            sys.exit(f"selection.txt:{number}: {reason!r} is no reason")
        for name in names.split():
            if name == "*":
                section[3].append(reason)
            elif name in section[2]:
                sys.exit(f"selection.txt:{number}: {name} is there twice")
            else:
                section[2][name] = (out, reason)


def build(stubs):
    rows, problems = [], []
    named = set()
    for path, kind, chosen, rest in list(read_selection()):
        if path == "hou":
            members = dict(stubs.functions)
            # Written in Python in `hou`, so that the stubs do not know what they give.
            known = set(members) | stubs.others | set(stubs.classes) | {"session"}
            known |= {"_syncFromMainContext", "_syncToMainContext"}
        else:
            short = path.split(".")[1]
            if short not in stubs.classes:
                # Templates without a method of their own are values of other classes there.
                problems.append(f"{path} does not exist")
                continue
            named.add(short)
            members = stubs.classes[short]
            known = set(members)
            base = [b for b in stubs.bases[short] if b in stubs.classes]
            rows.append((path, kind, "math" if kind == "new" else "type",
                         "hou." + base[0] if base else "-"))
        for name in sorted(set(chosen) - known):
            problems.append(f"{path}.{name} does not exist")
        public = {n for n in members if not n.startswith("_")} | set(chosen)
        for name in sorted(public & (known | set(chosen))):
            out, reason = chosen.get(name, (True, None))
            if reason is None:
                if WRITES.match(name):
                    reason = "writes"
                elif rest:
                    reason = rest[0]
                else:
                    problems.append(f"{path}.{name} was not read yet")
                    continue
            call = "static" if kind == "static" or path == "hou" else "method"
            word = "out" if out else call
            gives = stubs.gives(members[name], path.split(".")[-1]) if name in members else "-"
            rows.append((f"{path}.{name}", word, reason, gives))
    for short in sorted(stubs.classes):
        if short in named:
            continue
        public = [n for n in stubs.classes[short] if not n.startswith("_")]
        bases = stubs.bases[short]
        if stubs.values[short] and not public and not bases and not short.startswith("_"):
            rows.append((f"hou.{short}", "enum", "constant", "-"))
        elif "Exception" in bases or any(b.endswith("Error") or b == "OperationFailed" for b in bases):
            rows.append((f"hou.{short}", "type", "type", "-"))
    if problems:
        sys.exit("\n".join(problems))
    return sorted(rows)


HEAD = """\
# What is known of HOM. Written by make.py from selection.txt: do not edit.
#
# kind: type    a class that may be named and compared; gives: its base
#       new     a class of plain maths that may be made as well; gives: its base
#       enum    a class of constants
#       method  may be called on an object; gives: the class of the result
#       static  may be called on its module or class
#       out     left out; the reason says why
# gives: * is a tuple of them, `value` is plain data, - is not known
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stubs", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    rows = build(Stubs(args.stubs))
    text = HEAD + "".join(f"{n:<48} {k:<6} {r:<9} {g}\n" for n, k, r, g in rows)
    target = HERE / "catalogue.txt"
    if args.check:
        if target.read_text() != text:
            sys.exit("catalogue.txt is not what selection.txt and the stubs give: run make.py")
        return
    target.write_text(text)
    counts = {}
    for _, kind, reason, _ in rows:
        key = f"left out: {reason}" if kind == "out" else f"{kind}: {reason}"
        counts[key] = counts.get(key, 0) + 1
    for key in sorted(counts):
        print(f"{counts[key]:5} {key}")


if __name__ == "__main__":
    main()
