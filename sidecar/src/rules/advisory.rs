//! Paths of nodes, for advisory rules.

use super::operation::Arg;

/// Where an object stands in the scene, as far as the way by which it was asked for tells.
///
/// This is advice and no proof: `follow_parm_reference`, a rename, an input or an object
/// merge lead elsewhere. What does not resolve is `None`, and no rule with a path allows it.
pub type Advisory = Option<String>;

/// The path of what a call gives. `owner` is the path of the object whose method `function`
/// (such as `hou.ObjNode.parm`, or `hou.node`) is.
pub fn follow(owner: Option<&str>, function: &str, args: &[Arg<'_>]) -> Advisory {
    let (class, method) = function.rsplit_once('.')?;
    match (class, method, args) {
        ("hou", "node" | "parm" | "parmTuple" | "item", [Arg::Str(path)]) => absolute(path),
        ("hou", "root", []) => Some("/".into()),
        (_, "node" | "parm" | "parmTuple" | "item", [Arg::Str(name)])
            if class.ends_with("Node") =>
        {
            if name.starts_with('/') {
                return absolute(name);
            }
            let owner = owner?;
            absolute(&format!("{}/{name}", owner.trim_end_matches('/')))
        }
        ("hou.Parm" | "hou.ParmTuple", "node", []) => {
            let (node, _) = owner?.rsplit_once('/')?;
            Some(if node.is_empty() {
                "/".into()
            } else {
                node.into()
            })
        }
        _ => None,
    }
}

/// A path without any part that leads elsewhere.
fn absolute(path: &str) -> Advisory {
    let rest = path.strip_prefix('/')?;
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    (rest.is_empty() || rest.split('/').all(plain)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_only_when_each_step_is_plain() {
        let node = follow(None, "hou.node", &[Arg::Str("/obj/lights")]);
        assert_eq!(node.as_deref(), Some("/obj/lights"));
        let parm = follow(node.as_deref(), "hou.ObjNode.parm", &[Arg::Str("dimmer")]);
        assert_eq!(parm.as_deref(), Some("/obj/lights/dimmer"));
        let back = follow(parm.as_deref(), "hou.Parm.node", &[]);
        assert_eq!(back.as_deref(), Some("/obj/lights"));
        for (function, text) in [
            ("hou.ObjNode.node", "../cam"),
            ("hou.ObjNode.parm", "a/../../b"),
            ("hou.ObjNode.node", "$F"),
            ("hou.node", "lights"),
            ("hou.node", "/obj//x"),
            ("hou.ObjNode.glob", "*"),
        ] {
            assert_eq!(
                follow(Some("/obj/a"), function, &[Arg::Str(text)]),
                None,
                "{text}"
            );
        }
    }
}
