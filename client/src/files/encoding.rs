//! The encoding of a text file: UTF-8, or UTF-16 with a byte order mark, in which a redirected `kubectl config view`
//! writes on Windows. kubectl reads both.

/// The byte order mark.
const MARK: u16 = 0xfeff;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Returns the text and its encoding. A mark of UTF-16 is not part of the text. `None` if the bytes are not valid.
pub(super) fn decode(bytes: Vec<u8>) -> Option<(String, Encoding)> {
    let (encoding, unit): (_, fn([u8; 2]) -> u16) = match bytes.as_slice() {
        [0xff, 0xfe, ..] => (Encoding::Utf16Le, u16::from_le_bytes),
        [0xfe, 0xff, ..] => (Encoding::Utf16Be, u16::from_be_bytes),
        _ => return String::from_utf8(bytes).ok().map(|text| (text, Encoding::Utf8)),
    };
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    let text = char::decode_utf16(pairs.iter().skip(1).map(|pair| unit(*pair)));
    Some((text.collect::<Result<_, _>>().ok()?, encoding))
}

/// Returns the bytes of a text, with the mark for UTF-16.
pub(super) fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    let units = || std::iter::once(MARK).chain(text.encode_utf16());
    match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16Le => units().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => units().flat_map(u16::to_be_bytes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_and_encode_return_the_same_bytes() {
        for encoding in [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be] {
            let bytes = encode("kind: Config # \u{e9}\u{1f600}\r\n", encoding);
            let (text, found) = decode(bytes.clone()).unwrap();
            assert_eq!((text.as_str(), found), ("kind: Config # \u{e9}\u{1f600}\r\n", encoding));
            assert_eq!(encode(&text, found), bytes);
        }
        assert_eq!(encode("a", Encoding::Utf16Le), [0xff, 0xfe, b'a', 0]);
        assert_eq!(encode("a", Encoding::Utf16Be), [0xfe, 0xff, 0, b'a']);
    }

    #[test]
    fn decode_of_invalid_bytes_is_none() {
        for bytes in [&[0xff, 0xfe, b'a'][..], &[0xff, 0xfe, 0, 0xd8], &[b'a', 0xe9]] {
            assert_eq!(decode(bytes.to_vec()), None);
        }
    }
}
