//! Generates AWS's own files, of the forms that people and tools write, with mistakes in some.

use std::fmt::Write as _;

use fastrand::Rng;

const ROLE: &str = "arn:aws:iam::111122223333:role/";
/// Names of AWS profiles, as they stand in a header of the configuration file and in other places.
const NAMES: [(&str, &str); 9] = [
    ("default", "default"),
    ("work", "work"),
    ("base", "base"),
    ("\"Mike Dev.Admin\"", "Mike Dev.Admin"),
    ("'My Corp'", "My Corp"),
    ("prod-\u{e9}", "prod-\u{e9}"),
    ("a\\ b", "a b"),
    ("\"team/dev\"", "team/dev"),
    ("ops@corp", "ops@corp"),
];
/// Names of `[sso-session]` and `[services]` sections, in the same two forms.
const SECTIONS: [(&str, &str); 3] = [("corp", "corp"), ("'My Corp Ltd'", "My Corp Ltd"), ("\"x y\"", "x y")];

/// The content of both files.
pub(crate) struct Files {
    pub(crate) config: Vec<u8>,
    pub(crate) credentials: Vec<u8>,
}

/// The way in which a file is written.
struct Style {
    rng: Rng,
    text: String,
    /// The indentation of the settings of the section.
    indent: &'static str,
    /// The keys of the section so far.
    keys: Vec<String>,
}

/// Returns the files of a seed.
pub(crate) fn files(seed: u64) -> Files {
    let mut rng = Rng::with_seed(seed);
    let config = config(rng.fork());
    let credentials = if rng.u8(..4) == 0 { String::new() } else { credentials(rng.fork()) };
    Files { config: encoded(&mut rng, &config), credentials: encoded(&mut rng, &credentials) }
}

/// Chooses line ends, and rarely a byte order mark, another encoding or a broken line.
fn encoded(rng: &mut Rng, text: &str) -> Vec<u8> {
    let mut text = text.to_owned();
    match rng.u8(..100) {
        0 => text.insert(0, '\u{feff}'),
        1 => text.push_str("nonsense\n"),
        2 => text.push_str("= value\n"),
        3 => text.insert_str(0, "region = eu-west-1\n"),
        4 => text.push_str("[open\n"),
        _ => {}
    }
    let text = match rng.u8(..10) {
        0..2 => text.replace('\n', "\r\n"),
        2 => text.replace('\n', "\r"),
        3 => text.trim_end_matches('\n').to_owned(),
        _ => text,
    };
    let mut bytes = text.into_bytes();
    if rng.u8(..60) == 0 {
        let position = rng.usize(..=bytes.len());
        bytes.insert(position, 0xe9);
    }
    bytes
}

fn config(rng: Rng) -> String {
    let mut style = Style { rng, text: String::new(), indent: "", keys: Vec::new() };
    if style.one_in(30) {
        style.header("DEFAULT");
        style.set("region", "us-east-2");
    }
    let mut names = NAMES.to_vec();
    style.rng.shuffle(&mut names);
    for (header, name) in names.into_iter().take(2 + style.rng.usize(..4)) {
        let prefixed = match name {
            "default" if !style.one_in(4) => name.to_owned(),
            // Mistakes: no prefix, and a name with a blank without quotes.
            _ if style.one_in(25) => header.to_owned(),
            _ if style.one_in(40) => format!("profile {name}"),
            _ if style.one_in(40) => format!("profile \"{name}"),
            _ if style.one_in(20) => format!("profile  {header}"),
            _ => format!("profile {header}"),
        };
        style.header(&prefixed);
        style.profile(name);
        if style.one_in(60) {
            style.header(&prefixed);
            style.set("output", "json");
        }
    }
    for (header, _) in SECTIONS {
        if style.one_in(2) {
            style.header(&format!("sso-session {header}"));
            style.sso_login();
        }
        if style.one_in(3) {
            style.header(&format!("services {header}"));
            style.services();
        }
    }
    if style.one_in(5) {
        style.header("preview");
        style.set("cloudfront", "true");
    }
    style.text
}

fn credentials(rng: Rng) -> String {
    let mut style = Style { rng, text: String::new(), indent: "", keys: Vec::new() };
    let mut names = NAMES.to_vec();
    style.rng.shuffle(&mut names);
    for (header, name) in names.into_iter().take(1 + style.rng.usize(..3)) {
        let written = match () {
            () if style.one_in(20) => format!("profile {name}"),
            () if style.one_in(20) => header.to_owned(),
            () => name.to_owned(),
        };
        style.header(&written);
        match style.rng.u8(..8) {
            0..6 => style.keys(),
            6 => style.process(),
            _ => style.set("region", "ap-south-1"),
        }
        style.noise();
    }
    style.text
}

impl Style {
    fn one_in(&mut self, count: u32) -> bool {
        self.rng.u32(..count) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }

    fn header(&mut self, name: &str) {
        let after = if self.one_in(10) { self.pick(&[" # note", " ; note", "]", " text", "  "]) } else { "" };
        let before = if self.one_in(25) { "  " } else { "" };
        writeln!(self.text, "{before}[{name}]{after}").unwrap();
        self.indent = self.pick(&["", "", "", "  ", "    ", "\t"]);
        self.keys.clear();
    }

    /// Whether the section has no such key yet. Rarely says so of a repeated one, which is a mistake.
    fn is_new(&mut self, key: &str) -> bool {
        let is_new = !self.keys.iter().any(|known| known == key) || self.one_in(150);
        self.keys.push(key.to_owned());
        is_new
    }

    fn set(&mut self, key: &str, value: &str) {
        if !self.is_new(key) {
            return;
        }
        let indent = if self.one_in(60) { self.pick(&["", " ", "      "]) } else { self.indent };
        let between = self.pick(&[" = ", " = ", " = ", "=", ": ", " : ", " =  ", "\t=\t"]);
        let key = if self.one_in(30) { key.to_uppercase() } else { key.to_owned() };
        let value = if self.one_in(60) { format!("{value} # note") } else { value.to_owned() };
        writeln!(self.text, "{indent}{key}{between}{value}").unwrap();
        self.noise();
    }

    /// Comments and blank lines, which may be indented.
    fn noise(&mut self) {
        if self.one_in(6) {
            let line = self.pick(&["# note", "; note", "  # region = x", "\t; note", "", "", "   ", "#[profile x]"]);
            writeln!(self.text, "{line}").unwrap();
        }
    }

    fn nested(&mut self, key: &str, settings: &[(&str, &str)]) {
        if !self.is_new(key) {
            return;
        }
        writeln!(self.text, "{}{key} =", self.indent).unwrap();
        let deeper = self.pick(&["  ", "    ", "\t"]);
        let indent = format!("{}{deeper}", self.indent);
        for (key, value) in settings {
            if self.one_in(5) {
                writeln!(self.text, "{indent}# note").unwrap();
            }
            let between = if self.one_in(200) { ": " } else { self.pick(&[" = ", "="]) };
            writeln!(self.text, "{indent}{key}{between}{value}").unwrap();
        }
        self.noise();
    }

    fn profile(&mut self, name: &str) {
        if self.one_in(2) {
            self.set("region", "eu-west-1");
        }
        if self.one_in(6) {
            self.nested("s3", &[("max_concurrent_requests", "20"), ("addressing_style", "path")]);
        }
        match self.rng.u8(..12) {
            0..4 => self.keys(),
            4..7 => self.role(name),
            7..9 => self.sso(),
            9 => self.process(),
            10 => self.login(),
            _ => self.web_identity(),
        }
        // A second kind in one profile.
        match self.rng.u8(..24) {
            0 => self.keys(),
            1 => self.process(),
            2 => self.sso(),
            3 => self.login(),
            4 => self.set("credential_source", "Ec2InstanceMetadata"),
            _ => {}
        }
        if self.one_in(4) {
            let (_, section) = self.pick(&SECTIONS);
            self.set("services", section);
        }
        if self.one_in(8) {
            self.set("endpoint_url", "http://127.0.0.1:4566");
        }
        if self.one_in(40) {
            self.set("ignore_configured_endpoint_urls", "TRUE");
        }
        if self.one_in(10) {
            self.set("ca_bundle", "/etc/corp/ca.pem");
        }
    }

    fn keys(&mut self) {
        let is_temporary = self.one_in(3);
        let id = format!("{}IOSFODNN7EXAMP{:02}", if is_temporary { "ASIA" } else { "AKIA" }, self.rng.u8(10..99));
        if !self.one_in(40) {
            self.set("aws_access_key_id", &id);
        }
        if !self.one_in(40) {
            self.set("aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY=");
        }
        if is_temporary && !self.one_in(20) {
            let key = self.pick(&["aws_session_token", "aws_session_token", "aws_security_token"]);
            self.set(key, "IQoJb3JpZ2luX2VjE//==");
            if self.one_in(4) {
                let other = if key == "aws_session_token" { "aws_security_token" } else { "aws_session_token" };
                self.set(other, "FwoGZXIvYXdzE+b/=");
            }
            if self.one_in(3) {
                self.set("x_security_token_expires", "2026-11-28T23:00:00+01:00");
            }
        }
    }

    fn role(&mut self, own: &str) {
        let role = self.pick(&["developers", "team/admin", "readonly"]);
        self.set("role_arn", &format!("{ROLE}{role}"));
        let (_, source) = self.pick(&NAMES);
        match self.rng.u8(..20) {
            0..14 => self.set("source_profile", source),
            14 => self.set("source_profile", own),
            15 => self.set("credential_source", "Ec2InstanceMetadata"),
            16 => self.set("credential_source", "EcsContainer"),
            17 => self.set("credential_source", "Environment"),
            18 => {
                self.set("source_profile", source);
                self.set("credential_source", "EcsContainer");
            }
            _ => {}
        }
        if self.one_in(5) {
            self.set("mfa_serial", "arn:aws:iam::111122223333:mfa/ana");
        }
        if self.one_in(6) {
            self.set("external_id", "handshake");
        }
        if self.one_in(6) {
            self.set("role_session_name", "ana@corp");
        }
        if self.one_in(6) {
            self.set("duration_seconds", "7200");
        }
        if self.one_in(10) {
            self.keys();
        }
    }

    fn sso_login(&mut self) {
        if !self.one_in(20) {
            self.set("sso_start_url", "https://d-9367000000.awsapps.com/start");
        }
        if !self.one_in(20) {
            self.set("sso_region", "eu-west-1");
        }
        if self.one_in(2) {
            self.set("sso_registration_scopes", "sso:account:access");
        }
    }

    fn sso(&mut self) {
        if self.one_in(3) {
            self.sso_login();
        } else {
            let (_, session) = self.pick(&SECTIONS);
            self.set("sso_session", session);
            if self.one_in(15) {
                let region = self.pick(&["eu-west-1", "us-east-1"]);
                self.set("sso_region", region);
            }
        }
        if !self.one_in(15) {
            self.set("sso_account_id", "111122223333");
        }
        if !self.one_in(15) {
            self.set("sso_role_name", "Dev");
        }
    }

    fn process(&mut self) {
        let command = self.pick(&[
            "/usr/local/bin/creds",
            "\"/opt/my tools/creds\" --role 'a b'",
            "creds --arg \"a\\\"b\" # x",
            "sh -c 'echo \"$HOME\" | cat'",
            "creds 'open",
            "creds a\\ b",
        ]);
        self.set("credential_process", command);
        if self.one_in(20) {
            writeln!(self.text, "{}      --more arguments", self.indent).unwrap();
        }
    }

    fn login(&mut self) {
        self.set("login_session", "arn:aws:iam::111122223333:user/ana");
    }

    fn web_identity(&mut self) {
        self.set("web_identity_token_file", "/var/run/token");
        if !self.one_in(10) {
            self.set("role_arn", &format!("{ROLE}web"));
        }
    }

    fn services(&mut self) {
        for service in ["sts", "eks", "sso_oidc", "s3"] {
            match self.rng.u8(..12) {
                0..6 => self.nested(service, &[("endpoint_url", "http://127.0.0.1:4567")]),
                6 => self.nested(service, &[("x", "1")]),
                7 if self.one_in(10) => self.set(service, "endpoint_url"),
                _ => {}
            }
        }
    }
}
