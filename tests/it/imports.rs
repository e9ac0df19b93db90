//! What the files of a crate import: no files import each other in a circle, and no command of the client another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::architecture::{DAEMON, root};

/// A module path such as `["daemon", "call"]`; empty for the crate's root.
type Module = Vec<String>;

/// Every file below a folder with its product code: without tests, comments and declarations of modules.
fn sources(folder: &str) -> BTreeMap<Module, String> {
    let root = root().join(folder);
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(&root).unwrap().with_extension("");
                let mut module: Module = module.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                module.pop_if(|last| ["mod", "main", "lib"].contains(&last.as_str()));
                if !module.iter().any(|part| part.ends_with("tests")) {
                    found.insert(module, product_code(&fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    found
}

fn product_code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let is_code = |line: &&str| {
        let line = line.trim_start();
        let is_declaration = line.ends_with(';')
            && line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").starts_with("mod ");
        !line.starts_with("//") && !is_declaration
    };
    product.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The paths of a `use` tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().to_owned()];
    };
    let body = rest.strip_suffix('}').unwrap();
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in body.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 { parts.push(std::mem::take(&mut part)) } else { part.push(c) }
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(&format!("{prefix}{}", part.trim()))).collect()
}

/// The paths that a file names, of its `use` declarations (`true` if public, a re-export) and of its code.
fn paths(text: &str) -> Vec<(bool, String)> {
    let (mut found, mut declaration) = (Vec::new(), None::<(bool, String)>);
    for line in text.lines().map(str::trim) {
        let after_use = line.split_once("use ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        if let Some((before, tree)) = after_use.filter(|_| declaration.is_none()) {
            declaration = Some((!before.is_empty(), tree.to_owned()));
        } else if let Some((_, tree)) = &mut declaration {
            tree.push_str(line);
        } else {
            let roots = line.match_indices("crate::").chain(line.match_indices("super::"));
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            found.extend(roots.map(|(at, _)| (false, line[at..].split(|c| !is_path(c)).next().unwrap().to_owned())));
        }
        if let Some((is_public, tree)) = declaration.take_if(|(_, tree)| tree.ends_with(';')) {
            found.extend(expand(tree.trim_end_matches(';')).into_iter().map(|path| (is_public, path)));
        }
    }
    found
}

/// Which files a file imports. A path that goes through a re-export leads to the file that defines the item.
fn imports(sources: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let reexports: BTreeMap<(Module, String), String> = sources
        .iter()
        .flat_map(|(module, text)| {
            paths(text).into_iter().filter(|(public, _)| *public).map(move |(_, path)| (module, path))
        })
        .map(|(module, path)| ((module.clone(), path.rsplit("::").next().unwrap().to_owned()), path))
        .collect();
    let of = |module: &Module, text: &str| -> BTreeSet<Module> {
        let reached = paths(text).into_iter().filter_map(|(_, path)| resolve(module, &path, sources, &reexports));
        reached.filter(|other| other != module).collect()
    };
    sources.iter().map(|(module, text)| (module, of(module, text))).collect()
}

/// The file that a path leads to, seen from a module; `None` for a path into another crate.
fn resolve(
    from: &Module,
    path: &str,
    sources: &BTreeMap<Module, String>,
    reexports: &BTreeMap<(Module, String), String>,
) -> Option<Module> {
    let mut at = from.clone();
    let mut is_ours = false;
    for part in path.split("::") {
        let child: Module = at.iter().cloned().chain([part.to_owned()]).collect();
        match part {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            _ if sources.contains_key(&child) => at = child,
            _ if !is_ours => return None,
            _ => {
                let next =
                    reexports.get(&(at.clone(), part.to_owned())).filter(|next| at != *from || next.as_str() != path);
                return next.and_then(|next| resolve(&at, next, sources, reexports)).or(Some(at));
            }
        }
        is_ours = true;
    }
    Some(at)
}

#[test]
fn client_files_no_circle_of_imports() {
    let sources = sources("client/src");
    let imports = imports(&sources);
    assert!(imports.len() > 50 && imports.values().any(|imports| imports.len() > 5), "the sources were not understood");
    check_no_circle(imports);
}

/// A file of the daemon may use the types of its parent, which uses the file's functions.
#[test]
fn daemon_files_no_circle_of_imports() {
    for folder in DAEMON {
        let sources = sources(folder);
        let mut imports = imports(&sources);
        imports.retain(|module, _| !module.is_empty());
        for (module, imported) in &mut imports {
            imported.retain(|other| !module.starts_with(other) && !other.starts_with(module));
        }
        assert!(imports.values().any(|imports| imports.len() > 2), "{folder}: the sources were not understood");
        check_no_circle(imports);
    }
}

fn check_no_circle(mut left: BTreeMap<&Module, BTreeSet<Module>>) {
    // What imports nothing that is left is in no circle, and goes.
    loop {
        let names: BTreeSet<Module> = left.keys().map(|module| (*module).clone()).collect();
        let before = left.len();
        left.retain(|_, imports| imports.iter().any(|other| names.contains(other)));
        if left.len() == before {
            break;
        }
    }
    let names: BTreeSet<&Module> = left.keys().copied().collect();
    let circles: Vec<String> = left
        .iter()
        .map(|(module, imports)| {
            let others = imports.iter().filter(|other| names.contains(other)).map(|other| other.join("/"));
            format!("{} -> {}", module.join("/"), others.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert!(circles.is_empty(), "circles, and what imports them:\n{}", circles.join("\n"));
}

#[test]
fn commands_none_imports_another() {
    for (module, imports) in imports(&sources("client/src")) {
        let [folder, command, ..] = module.as_slice() else { continue };
        for other in imports.iter().filter(|other| folder == "commands" && other.first() == Some(folder)) {
            assert_eq!(other.get(1), Some(command), "{} imports {}", module.join("/"), other.join("/"));
        }
    }
}
