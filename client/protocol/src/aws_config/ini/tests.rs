use super::*;

/// The sections of a text: their names and settings. Nested values are in braces.
fn parsed(text: &str) -> Result<Vec<String>, SyntaxError> {
    let shown = |value: &Value| match value {
        Value::Text(text) => text.replace('\n', "|"),
        Value::Nested(settings) => {
            let settings: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{{{}}}", settings.join(","))
        }
    };
    Ok(parse(text)?
        .iter()
        .map(|section| {
            let settings = section.settings.iter().map(|(key, setting)| format!(" {key}={}", shown(&setting.value)));
            format!("{}:{}", section.name, settings.collect::<String>())
        })
        .collect())
}

#[test]
fn parse_reads_what_people_write() {
    for (text, expected) in [
        ("[a]\nx = 1\ny: 2\nZ=3\n", "a: x=1 y=2 z=3"),
        // All settings of a section indented alike; comments and blank lines between them.
        ("[a]\n  x = 1\n  # x = 2\n\n  ; y\n  y = 2\n", "a: x=1 y=2"),
        // An indented comment is no part of the value above it.
        ("[a]\nx = 1\n  # note\ny = 2\n", "a: x=1 y=2"),
        // A line that is indented more continues the value.
        ("[a]\nx = 1\n  y = 2\n", "a: x=1|y = 2"),
        ("[a]\nx = 1\n\n  2\n", "a: x=1||2"),
        ("[a]\n  x = 1\ny = 2\n", "a: x=1 y=2"),
        ("[a]\ns3 =\n    n = 20\n    # more\n    m = a=b\nx = 1\n", "a: s3={m=a=b,n=20} x=1"),
        ("[a]\nempty =\n\nx = 1", "a: empty= x=1"),
        // A header may be followed by text, and have brackets and spaces.
        ("[a] # comment\nx=1\n", "a: x=1"),
        ("[profile 'a b']\nx=1\n", "profile 'a b': x=1"),
        ("  [a]\n  x=1\n", "a: x=1"),
        ("[ a ]\nx=1\n", " a : x=1"),
        ("[a]]\nx=1\n", "a]: x=1"),
        // A comment sign within a line belongs to the value.
        ("[a]\nx = 1 # one\ny = 2;\n", "a: x=1 # one y=2;"),
        ("[a]\nx = = 1\n", "a: x== 1"),
        ("[a]\r\nx = 1\r\ny = 2\r\n", "a: x=1 y=2"),
        ("[a]\rx = 1\ry = 2", "a: x=1 y=2"),
        ("[\u{e9}]\n\u{c9}\u{a0}=\u{a0}\u{fc}\u{a0}\n", "\u{e9}: \u{e9}=\u{fc}"),
        // Every section inherits the settings of [DEFAULT], which may be there twice.
        ("[DEFAULT]\nx = 1\n[a]\ny = 2\n[DEFAULT]\nz = 3\n", "a: x=1 y=2 z=3"),
        ("[DEFAULT]\nx = 1\n[a]\nx = 2\n", "a: x=2"),
        ("# only a comment\n", ""),
    ] {
        assert_eq!(parsed(text).map(|sections| sections.join("\n")).as_deref(), Ok(expected), "{text:?}");
    }
}

#[test]
fn parse_refuses_what_the_aws_cli_refuses() {
    use SyntaxProblem::{
        ByteOrderMark, NestedWithoutEquals, NoDelimiter, NoKey, NoSection, RepeatedKey, RepeatedSection,
    };
    for (text, line, problem) in [
        ("\u{feff}[a]\nx = 1\n", 1, ByteOrderMark),
        ("# x\nx = 1\n", 2, NoSection),
        ("[]\nx = 1\n", 1, NoSection),
        ("[a]\nx = 1\n[b]\n[a]\ny = 2\n", 4, RepeatedSection(1)),
        ("[a]\nx = 1\ny = 1\nX: 2\n", 4, RepeatedKey(2)),
        ("[DEFAULT]\nx = 1\n[DEFAULT]\nx = 1\n", 4, RepeatedKey(2)),
        ("[a]\nx = 1\nnonsense\n", 3, NoDelimiter),
        ("[a\nx = 1\n", 1, NoSection),
        ("[b]\n[a\nx = 1\n", 2, NoDelimiter),
        ("[a]\n= 1\n", 2, NoKey),
        ("[a]\ns3 =\n  x = 1\n  nonsense\n", 4, NestedWithoutEquals),
        ("[a]\ns3 =\n  x: 1\n", 3, NestedWithoutEquals),
    ] {
        assert_eq!(parsed(text), Err(SyntaxError { line, problem }), "{text:?}");
    }
}

#[test]
fn parse_keeps_the_lines_of_sections_and_keys() {
    let sections = parse("# x\n\n[a]\n# y\nx = 1\n  2\ny = 3\n").unwrap();
    let lines: Vec<_> = sections[0].settings.values().map(|setting| setting.line).collect();
    assert_eq!((sections[0].line, lines), (3, vec![5, 7]));
}

#[test]
fn syntax_error_does_not_quote_the_line() {
    let error = parsed("[a]\naws_secret_access_key CANARY\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2 has neither a section in brackets nor a key with = or :");
}

/// Fault matrix row 127.
#[test]
fn parse_limits_settings_of_every_kind() {
    let problem = |text: &str| parse(text).map(|sections| sections.len()).map_err(|error| error.problem);
    let repeated = |line: &dyn Fn(usize) -> String, count: usize| (0..count).map(line).collect::<String>();
    let profiles = |count| repeated(&|i| format!("[profile p{i}]\na=\nb=\nc=\nd=\ne=\nf=\ng=\nh=\n"), count);
    assert_eq!(problem(&profiles(10_000)), Ok(10_000));
    assert_eq!(problem(&profiles(16_000)), Err(SyntaxProblem::TooMany));
    assert_eq!(problem(&repeated(&|i| format!("[p{i}]\n"), 40_001)), Err(SyntaxProblem::TooMany));
    let settings = |count| repeated(&|i| format!("k{i} = v\n"), count);
    assert_eq!(problem(&format!("[a]\n{}", settings(199_996))), Err(SyntaxProblem::TooMany));
    let nested = repeated(&|i| format!(" k{i} = v\n"), 200_000);
    assert_eq!(problem(&format!("[a]\ns3 =\n{nested}")), Err(SyntaxProblem::TooMany));
    // Each section inherits each setting.
    let sections = repeated(&|i| format!("[p{i}]\n"), 1_000);
    assert_eq!(problem(&format!("[DEFAULT]\n{}{sections}", settings(100))), Ok(1_000));
    assert_eq!(problem(&format!("[DEFAULT]\n{}{sections}", settings(200))), Err(SyntaxProblem::TooMany));
    // Lines of one value, comments and empty lines are no settings.
    assert_eq!(problem(&format!("[a]\nx = 1\n{}", " more\n\n# x\n".repeat(100_000))), Ok(1));
}
