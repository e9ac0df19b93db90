//! Changes seeds at random: bytes, words, lines and whole parts.

use std::collections::BTreeSet;

use fastrand::Rng;

/// The size limit of an input, in bytes. Larger inputs are slow and find no more.
const MAX_BYTES: usize = 64 * 1024;

/// How many bytes one repetition adds at most.
const MAX_REPEATED_BYTES: usize = 20_000;

/// Text with a meaning in the formats that are parsed, or that programs often handle wrongly.
const ODD_WORDS: &[&str] = &[
    "",
    "\0",
    "\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "\u{b}",
    "\u{c}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{202e}",
    "\u{2028}",
    "\u{2066}",
    "\u{feff}",
    "\u{fffd}",
    "\u{17f}",
    "\u{212a}",
    "\u{130}",
    "\u{e9}",
    "\u{1f600}",
    "\u{10ffff}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "[]",
    "{}",
    "(",
    ")",
    "<",
    ">",
    "</",
    "/>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a>",
    "<?xml version=\"1.0\"?>",
    "&amp;",
    "&#10;",
    "&#x1b;",
    "&lt;",
    "&",
    "&a ",
    "*a",
    "*",
    "!!str ",
    "!",
    "|",
    "|-",
    ">-",
    "---",
    "...",
    "--- ",
    "- ",
    "-",
    "? ",
    ": ",
    ":",
    "=",
    ",",
    ";",
    "#",
    " #",
    "%",
    "%0a",
    "%2e%2e",
    "..",
    "/",
    "//",
    "./",
    "@",
    "$",
    "~",
    "null",
    "true",
    "false",
    "yes",
    "no",
    "NaN",
    ".inf",
    "0",
    "-1",
    "007",
    "0x10",
    "1e999",
    "1_000",
    "255",
    "256",
    "65536",
    "2147483648",
    "-9223372036854775808",
    "18446744073709551616",
    "9999-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "arn:aws:iam::",
    "role/",
    "us-east-1",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "HTTP/1.0",
    "<<: ",
    "\"a\": 1,",
];

/// Bytes that are not part of UTF-8 text, or only in a place of their own.
const ODD_BYTES: [u8; 8] = [0x00, 0x7f, 0x80, 0xc0, 0xe2, 0xed, 0xfe, 0xff];

/// Creates inputs from seeds.
pub(crate) struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    words: Vec<Vec<u8>>,
    random: Rng,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seeds: &'a [Vec<u8>], start: u64) -> Self {
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let mut words: BTreeSet<Vec<u8>> = ODD_WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
        for seed in seeds {
            words.extend(seed.split(|byte| !is_inner(byte)).map(<[u8]>::to_vec));
            words.extend(seed.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
        Self { seeds, words: words.into_iter().collect(), random: Rng::with_seed(start) }
    }

    /// Returns a seed with one to eight changes.
    pub(crate) fn input(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        let most = 1 << self.random.usize(..4);
        for _ in 0..=self.random.usize(..most) {
            self.change(&mut input);
            input.truncate(MAX_BYTES);
        }
        input
    }

    fn seed(&mut self) -> &'a [u8] {
        &self.seeds[self.random.usize(..self.seeds.len())]
    }

    fn word(&mut self) -> Vec<u8> {
        self.words[self.random.usize(..self.words.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(..=input.len());
        match self.random.usize(..12) {
            0 => match input.get_mut(at) {
                Some(byte) => *byte ^= 1 << self.random.u8(..8),
                None => input.push(self.random.u8(..)),
            },
            1 => input.insert(at, ODD_BYTES[self.random.usize(..ODD_BYTES.len())]),
            2 | 3 => drop(input.splice(at..at, self.word())),
            4 | 5 => {
                let end = word_end(input, at);
                let word = self.word();
                input.splice(at..end, word);
            }
            6 => drop(input.drain(at..self.end(input, at))),
            7 => {
                let part = input[at..self.end(input, at)].to_vec();
                let to = self.random.usize(..=input.len());
                input.splice(to..to, part);
            }
            8 => self.repeat(input, at),
            9 => input.truncate(at),
            10 => self.change_lines(input),
            _ => self.join_with_seed(input),
        }
    }

    /// Returns the end of a part that begins at `at`. Short parts are more frequent than long ones.
    fn end(&mut self, input: &[u8], at: usize) -> usize {
        let length = 1 << self.random.usize(..12);
        (at + self.random.usize(..=length)).min(input.len())
    }

    /// Repeats a word or a part of the input, as in deep nesting and in long lists.
    fn repeat(&mut self, input: &mut Vec<u8>, at: usize) {
        let part = if self.random.bool() { self.word() } else { input[at..self.end(input, at)].to_vec() };
        let times = 1 << self.random.usize(..14);
        let times = times.min(MAX_REPEATED_BYTES / part.len().max(1));
        input.splice(at..at, part.repeat(times));
    }

    /// Removes, repeats, moves or exchanges a line.
    fn change_lines(&mut self, input: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        let (from, to) = (self.random.usize(..lines.len()), self.random.usize(..lines.len()));
        match self.random.usize(..4) {
            0 => drop(lines.remove(from)),
            1 => lines.insert(to, lines[from].clone()),
            2 => {
                let line = lines.remove(from);
                lines.insert(to, line);
            }
            _ => {
                let seed = self.seed();
                let others: Vec<&[u8]> = seed.split_inclusive(|byte| *byte == b'\n').collect();
                if !others.is_empty() {
                    lines[to] = others[self.random.usize(..others.len())].to_vec();
                }
            }
        }
        *input = lines.concat();
    }

    /// Replaces the end by the end of another seed.
    fn join_with_seed(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(..=input.len());
        let other = self.seed();
        let from = self.random.usize(..=other.len());
        input.truncate(at);
        input.extend_from_slice(&other[from..]);
    }
}

/// Returns the end of the word at `at`.
fn word_end(input: &[u8], at: usize) -> usize {
    let length = input[at..].iter().position(|byte| !byte.is_ascii_alphanumeric());
    at + length.unwrap_or(input.len() - at).max(usize::from(at < input.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_determined_by_seeds_and_start() {
        let seeds = [b"name: a\nvalue: 12\n".to_vec(), b"[x]\n".to_vec()];
        let inputs = |start| {
            let mut mutator = Mutator::new(&seeds, start);
            (0..2000).map(|_| mutator.input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let different: BTreeSet<_> = inputs(1).into_iter().collect();
        assert!(different.len() > 1000, "{}", different.len());
        assert!(different.iter().all(|input| input.len() <= MAX_BYTES));
    }

    #[test]
    fn input_of_empty_seed_is_not_always_empty() {
        let mut mutator = Mutator { seeds: &[Vec::new()], words: vec![b"x".to_vec()], random: Rng::with_seed(1) };
        assert!((0..100).any(|_| !mutator.input().is_empty()));
    }
}
