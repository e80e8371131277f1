//! The floor: what holds in every narrow role, whatever a file says.

/// Attributes of the service that every stock client fetches while it connects
/// (`MasterService._install`). They may be held and never used.
pub(super) const HELD_OF_ROOT: &[&str] = &["eval", "execute", "namespace"];
/// Those of them that are methods: each fetch makes a new object.
pub(super) const METHODS_OF_ROOT: &[&str] = &["eval", "execute"];
/// Modules that stock clients fetch while they connect, likewise; `importlib.util` since 5.
pub(super) const HELD_MODULES: &[&str] = &["builtins", "__builtin__", "importlib.util"];

/// Attributes with underscores at both ends that may be read: texts.
pub(super) const TEXTS: &[&str] = &["__doc__", "__name__"];

/// The comparisons that Python has. `CMP` takes any name as the operator.
pub(super) const COMPARISONS: &[&str] =
    &["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"];

/// What `CALLATTR` may reach, where a list or a rule names it. Nothing here takes a name, a
/// format or code, or changes its object.
pub(super) const OPERATORS: &[&str] = &[
    "__len__",
    "__getitem__",
    "__iter__",
    "__next__",
    "next",
    "__contains__",
    "__reversed__",
    "__bool__",
    "__nonzero__",
    "__neg__",
    "__pos__",
    "__abs__",
    "__add__",
    "__radd__",
    "__sub__",
    "__rsub__",
    "__mul__",
    "__rmul__",
    "__div__",
    "__truediv__",
    "__int__",
    "__float__",
    "__index__",
    "__enter__",
];

/// Items that one `BUFFITER` may ask for. rpyc's `buffiter` asks for 1000 at most by itself.
pub(super) const MOST_ITEMS: u64 = 10_000;

/// Python's own containers, iterators and dates, which calls give by reference, and what
/// reads them. Their sets of names are Python's and differ little between versions.
pub(super) fn reads_builtin(class: &str, member: &str) -> bool {
    let container = ["__len__", "__iter__", "__contains__", "__bool__"];
    let iterator = ["__iter__", "__next__", "next"];
    match class {
        "builtins.tuple" | "builtins.list" => {
            container.contains(&member)
                || ["__getitem__", "__reversed__", "index", "count"].contains(&member)
        }
        "builtins.dict" => {
            container.contains(&member)
                || [
                    "__getitem__",
                    "__reversed__",
                    "get",
                    "keys",
                    "values",
                    "items",
                ]
                .contains(&member)
        }
        "builtins.set"
        | "builtins.frozenset"
        | "builtins.dict_keys"
        | "builtins.dict_values"
        | "builtins.dict_items" => container.contains(&member),
        "builtins.range" => container.contains(&member) || member == "__getitem__",
        "builtins.generator"
        | "builtins.iterator"
        | "builtins.list_iterator"
        | "builtins.list_reverseiterator"
        | "builtins.tuple_iterator"
        | "builtins.set_iterator"
        | "builtins.range_iterator"
        | "builtins.reversed"
        | "builtins.dict_keyiterator"
        | "builtins.dict_valueiterator"
        | "builtins.dict_itemiterator"
        | "builtins.listiterator"
        | "builtins.tupleiterator"
        | "builtins.setiterator"
        | "builtins.dictionary-keyiterator"
        | "builtins.dictionary-valueiterator"
        | "builtins.dictionary-itemiterator" => iterator.contains(&member),
        "datetime.datetime" => [
            "year",
            "month",
            "day",
            "hour",
            "minute",
            "second",
            "microsecond",
            "isoformat",
            "timestamp",
        ]
        .contains(&member),
        _ => false,
    }
}

/// Is it a class that [`reads_builtin`] knows?
pub(super) fn is_builtin(class: &str) -> bool {
    ["__len__", "__iter__", "year"]
        .iter()
        .any(|member| reads_builtin(class, member))
}

/// Modules that give everything to whoever holds them. A role that lists one is `full` by
/// another name. The list cannot be complete: a studio's own module may give as much.
pub(super) fn gives_everything(module: &str) -> bool {
    const TOPS: &[&str] = &[
        "_ctypes",
        "_posixsubprocess",
        "_pickle",
        "_io",
        "_thread",
        "_winapi",
        "asyncio",
        "ast",
        "bdb",
        "builtins",
        "__builtin__",
        "__main__",
        "cPickle",
        "code",
        "codeop",
        "commands",
        "concurrent",
        "ctypes",
        "dill",
        "distutils",
        "ensurepip",
        "functools",
        "gc",
        "hrpyc",
        "imp",
        "importlib",
        "inspect",
        "io",
        "marshal",
        "multiprocessing",
        "nt",
        "operator",
        "os",
        "pathlib",
        "pdb",
        "pickle",
        "pip",
        "pkgutil",
        "platform",
        "plumbum",
        "posix",
        "pty",
        "pydoc",
        "rpyc",
        "runpy",
        "setuptools",
        "shelve",
        "shutil",
        "signal",
        "site",
        "socket",
        "sqlite3",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "timeit",
        "trace",
        "types",
        "typing",
        "unittest",
        "warnings",
        "webbrowser",
        "zipimport",
    ];
    TOPS.contains(&module.split('.').next().unwrap_or_default())
        || matches!(
            module,
            "hou.session" | "hou.hda" | "hou.text" | "hou.ui" | "hou.qt" | "_hou"
        )
        || module.starts_with("hou.session.")
}

/// A plain Python name.
pub(super) fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `__name__`.
pub(super) fn is_dunder(name: &str) -> bool {
    name.len() > 4 && name.starts_with("__") && name.ends_with("__")
}
