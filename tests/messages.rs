//! Every text that a user can see, in one reviewable file: `tests/messages.golden`.
//!
//! The test parses the product's sources and lists each string literal that is a text, under the function, match arm or
//! enum variant that it belongs to. A new text needs no registration: the test fails until the golden file has it. The
//! list has no log events, no help of options, and no names and keys: literals without a space.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Token};

const GOLDEN: &str = "tests/messages.golden";

const CRATES: [(&str, &str); 6] = [
    ("rolecall-protocol", "client/protocol/src"),
    ("rolecall-trusted-file", "client/trusted-file/src"),
    ("rolecall-core", "daemon/core/src"),
    ("rolecall-aws", "daemon/aws/src"),
    ("rolecalld", "daemon/src"),
    ("rolecall", "client/src"),
];

const HEAD: &str = "\
Every text that a user can see, by crate, file, and what causes it: a function, a match arm, or a variant of an error.
The test `messages` generates this file from the sources. To accept a change of texts:
ROLECALL_TEST_ACCEPT=1 cargo test -p rolecall-protocol --test messages
Below a cause, each line has the role of a text, and the text as the source has it, with {} for values. `code` and `exit`
are the error code and the exit code that the cause names.
";

/// Macros whose literals reach no user as texts: log events, names.
const SILENT: [&str; 9] = ["trace", "debug", "info", "warn", "error", "cfg", "env", "matches", "json"];

/// Methods that compare with a text.
const COMPARISONS: [&str; 6] = ["contains", "starts_with", "ends_with", "strip_prefix", "strip_suffix", "split_once"];

/// Functions whose arguments have roles of their own.
const ARGUMENTS: [(&str, &[&str]); 6] = [
    ("CliError::failed", &["message", "hint"]),
    ("CliError::new", &["exit", "message", "hint"]),
    ("ErrorBody::new", &["code", "message"]),
    ("Hint::command", &["command"]),
    ("Hint::text", &["hint"]),
    ("Notification::new", &["title", "body"]),
];

/// Where single words are shown, as a state or a heading. Elsewhere they are names and keys.
const WORD_FILES: [&str; 3] = ["client/src/commands", "client/src/format_time.rs", "client/protocol/src/startup.rs"];
const WORD_ROLES: [&str; 5] = ["message", "hint", "verb", "io", "io_error"];

/// Calls that pass a text on. The role of the text is that of the call around them.
const ADAPTERS: [&str; 28] = [
    "Some",
    "Ok",
    "Err",
    "String::from",
    "Box::new",
    "Into::into",
    "Cow::Borrowed",
    "to_owned",
    "into",
    "to_string",
    "as_str",
    "map",
    "map_err",
    "map_or",
    "map_or_else",
    "and_then",
    "or_else",
    "unwrap_or",
    "unwrap_or_else",
    "then",
    "then_some",
    "ok_or",
    "ok_or_else",
    "filter",
    "extend",
    "push",
    "chain",
    "collect",
];

#[test]
fn messages_match_the_golden_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let texts = render(root);
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let accept = std::env::var_os("ROLECALL_TEST_ACCEPT").is_some();
    if accept {
        fs::write(root.join(GOLDEN), &texts).unwrap();
    }
    if fs::read_to_string(root.join(GOLDEN)).unwrap_or_default() != texts {
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages.golden");
        fs::write(&new, &texts).unwrap();
        let diff = Command::new("diff").args(["-U2".as_ref(), root.join(GOLDEN).as_os_str(), new.as_os_str()]).output();
        let diff =
            diff.map_or_else(|error| error.to_string(), |diff| String::from_utf8_lossy(&diff.stdout).into_owned());
        panic!("texts differ from {GOLDEN}; its head says how to accept them. The new ones: {}\n{diff}", new.display());
    }
}

fn render(root: &Path) -> String {
    let mut text = HEAD.to_owned();
    for (name, folder) in CRATES {
        let _ = write!(text, "\n# {name}\n");
        for file in product_files(&root.join(folder)) {
            let path = file.strip_prefix(root).unwrap();
            let shows_words = WORD_FILES.iter().any(|prefix| path.starts_with(prefix));
            let mut texts = Texts { shows_words, ..Texts::default() };
            texts.visit_file(&parse(&file));
            if texts.has_text {
                let _ = write!(text, "\n## {}\n{}", path.display(), texts.rendered);
            }
        }
    }
    text
}

fn parse(file: &Path) -> syn::File {
    syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Returns the source files below a folder without those of modules for tests, sorted.
fn product_files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut tests, mut folders) = (BTreeSet::new(), Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let is_root = ["lib", "main", "mod"].iter().any(|stem| path.file_stem().is_some_and(|it| it == *stem));
                let children = if is_root { path.with_file_name("") } else { path.with_extension("") };
                for item in parse(&path).items {
                    if let Item::Mod(module) = item
                        && is_test(&module.attrs)
                    {
                        tests.push(children.join(module.ident.to_string()));
                    }
                }
                files.insert(path);
            }
        }
    }
    files.retain(|file| !tests.iter().any(|test| file.with_extension("").starts_with(test)));
    files.into_iter().collect()
}

/// Whether an item is compiled for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let source = source(attribute);
        ["#[test]", "#[cfg(test)]", "#[cfg(any(test, fuzzing))]"].contains(&source.as_str())
    })
}

/// Returns the source of a node on one line.
fn source(node: &impl Spanned) -> String {
    node.span().source_text().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts of a file.
#[derive(Default)]
struct Texts {
    /// Where the visitor is: type, function, match arm.
    causes: Vec<String>,
    /// What the expression is for: the call, field or binding around it.
    roles: Vec<String>,
    /// The cause that was written last.
    written: String,
    /// Whether a single word is a text here.
    shows_words: bool,
    rendered: String,
    has_text: bool,
}

impl Texts {
    /// Visits what a cause has: `::name` for an item, ` / pattern` for a match arm.
    fn within(&mut self, cause: String, visit: impl FnOnce(&mut Self)) {
        let roles = std::mem::take(&mut self.roles);
        self.causes.push(cause);
        visit(self);
        self.causes.pop();
        self.roles = roles;
    }

    fn with_role(&mut self, role: String, visit: impl FnOnce(&mut Self)) {
        if ADAPTERS.contains(&role.as_str()) {
            return visit(self);
        }
        self.roles.push(role);
        visit(self);
        self.roles.pop();
    }

    fn write(&mut self, role: &str, text: &str) {
        let cause = self.causes.concat().split_off(2);
        if cause != self.written {
            let _ = writeln!(self.rendered, "{cause}");
            self.written = cause;
        }
        let _ = writeln!(self.rendered, "    {role}: {text}");
    }

    fn text(&mut self, text: &str) {
        let role = self.roles.last().cloned().unwrap_or_else(|| "text".to_owned());
        let is_word = !text.is_empty() && text.chars().all(char::is_alphabetic);
        let shows_words = self.shows_words || WORD_ROLES.contains(&role.as_str());
        let is_template = role == "message" && text.contains('{');
        if is_sentence(text) || is_template || is_word && shows_words {
            let lines: Vec<String> = text.split('\n').map(|line| line.escape_debug().to_string()).collect();
            let text = lines.join("\\n\n        ").replace("\\\"", "\"").replace("\\'", "'");
            self.write(&role, &format!("\"{text}\""));
            self.has_text = true;
        }
    }

    /// Lists the literals of a macro whose arguments are no expressions.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut is_attribute = false;
        for token in tokens {
            let after_hash =
                std::mem::replace(&mut is_attribute, matches!(&token, TokenTree::Punct(it) if it.as_char() == '#'));
            match token {
                TokenTree::Group(_) if after_hash => {}
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(literal) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.text(&literal.value());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// Whether a literal has a space, and a letter outside `{…}`.
fn is_sentence(literal: &str) -> bool {
    let mut depth = 0_i32;
    let has_letter = literal.chars().any(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && c.is_alphabetic()
    });
    has_letter && literal.contains(' ')
}

impl<'a> Visit<'a> for Texts {
    fn visit_item(&mut self, item: &'a Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, item.ident.to_string()),
            Item::Enum(item) => (&item.attrs, item.ident.to_string()),
            Item::Fn(item) => (&item.attrs, item.sig.ident.to_string()),
            Item::Impl(item) => (&item.attrs, source(&item.self_ty)),
            Item::Macro(item) => (&item.attrs, source(&item.mac.path) + "!"),
            Item::Mod(item) => (&item.attrs, item.ident.to_string()),
            Item::Static(item) => (&item.attrs, item.ident.to_string()),
            Item::Struct(item) => (&item.attrs, item.ident.to_string()),
            Item::Trait(item) => (&item.attrs, item.ident.to_string()),
            _ => return,
        };
        if !is_test(attributes) {
            self.within(format!("::{name}"), |texts| visit::visit_item(texts, item));
        }
    }

    fn visit_impl_item(&mut self, item: &'a syn::ImplItem) {
        let (attributes, name) = match item {
            syn::ImplItem::Fn(item) => (&item.attrs, item.sig.ident.to_string()),
            syn::ImplItem::Const(item) => (&item.attrs, item.ident.to_string()),
            _ => return,
        };
        if !is_test(attributes) {
            self.within(format!("::{name}"), |texts| visit::visit_impl_item(texts, item));
        }
    }

    fn visit_variant(&mut self, variant: &'a syn::Variant) {
        self.within(format!("::{}", variant.ident), |texts| visit::visit_variant(texts, variant));
    }

    /// The message of an error, and what the configuration expects. Other attributes are documentation and `--help`.
    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        let role = if attribute.path().is_ident("error") {
            "message"
        } else if attribute.path().is_ident("serde") && source(attribute).contains("expecting") {
            "expecting"
        } else {
            return;
        };
        if let Ok(list) = attribute.meta.require_list() {
            self.with_role(role.to_owned(), |texts| texts.tokens(list.tokens.clone()));
        }
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        self.within(format!(" / {}", source(&arm.pat)), |texts| texts.visit_expr(&arm.body));
    }

    /// A literal in a pattern is compared, not shown.
    fn visit_pat(&mut self, _: &'a syn::Pat) {}

    fn visit_local(&mut self, local: &'a syn::Local) {
        match source(&local.pat) {
            name if name == "message" || name == "hint" => {
                self.with_role(name, |texts| visit::visit_local(texts, local));
            }
            _ => visit::visit_local(self, local),
        }
    }

    fn visit_field_value(&mut self, field: &'a syn::FieldValue) {
        self.with_role(source(&field.member), |texts| visit::visit_field_value(texts, field));
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        let name = source(&call.func).replace("Self::", &format!("{}::", self.causes[0].trim_start_matches(':')));
        let roles = ARGUMENTS.iter().find(|(function, _)| *function == name).map(|(_, roles)| *roles);
        for (index, argument) in call.args.iter().enumerate() {
            let role = roles.and_then(|roles| roles.get(index)).map_or(name.clone(), ToString::to_string);
            self.with_role(role, |texts| texts.visit_expr(argument));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        self.visit_expr(&call.receiver);
        let name = call.method.to_string();
        if !COMPARISONS.contains(&name.as_str()) {
            self.with_role(name, |texts| {
                for argument in &call.args {
                    texts.visit_expr(argument);
                }
            });
        }
    }

    fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
        let source = source(path);
        if let Some((kind @ ("ErrorCode" | "Exit"), code)) = source.split_once("::") {
            let kind = if kind == "Exit" { "exit" } else { "code" };
            self.write(kind, code);
        }
    }

    fn visit_macro(&mut self, called: &'a syn::Macro) {
        let name = called.path.segments.last().map(|name| name.ident.to_string()).unwrap_or_default();
        if SILENT.contains(&name.as_str()) {
            return;
        }
        match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(called.tokens.clone()) {
            Ok(arguments) => arguments.iter().for_each(|argument| self.visit_expr(argument)),
            Err(_) => self.tokens(called.tokens.clone()),
        }
    }

    fn visit_lit_str(&mut self, literal: &'a syn::LitStr) {
        self.text(&literal.value());
    }

    fn visit_lit_byte_str(&mut self, literal: &'a syn::LitByteStr) {
        self.text(&String::from_utf8_lossy(&literal.value()));
    }
}
