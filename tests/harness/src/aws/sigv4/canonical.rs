//! The canonical request: the form that signer and verifier hash.

use crate::encoding::uri_encode;

/// The parts of a request that a signature covers.
pub(crate) struct Canonical<'a> {
    pub(crate) method: &'a str,
    /// As sent, percent-encoded.
    pub(crate) path: &'a str,
    /// Decoded names and values, `X-Amz-Signature` left out.
    pub(crate) query: &'a [(String, String)],
    /// Lower-case names and values as sent; only the signed ones, in any order.
    pub(crate) headers: &'a [(String, String)],
    /// Hex of the body's SHA-256, or `UNSIGNED-PAYLOAD`.
    pub(crate) payload_hash: &'a str,
}

impl Canonical<'_> {
    pub(crate) fn text(&self) -> String {
        let headers = joined_headers(self.headers).into_iter().map(|(name, value)| [name, value].join(":"));
        let mut lines = vec![self.method.to_owned(), canonical_path(self.path), canonical_query(self.query)];
        lines.extend(headers);
        // The headers end with an empty line.
        lines.extend([String::new(), signed_header_names(self.headers), self.payload_hash.to_owned()]);
        lines.join("\n")
    }
}

/// `host;x-amz-date`: sorted, each once.
pub(crate) fn signed_header_names(headers: &[(String, String)]) -> String {
    joined_headers(headers).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(";")
}

/// Returns the headers sorted by name, with the values of a repeated name joined by commas and runs of spaces
/// collapsed.
fn joined_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    let mut sorted: Vec<_> = headers.iter().collect();
    // The sort is stable: values of one name keep their order.
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    for (name, value) in sorted {
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match joined.last_mut() {
            Some((last, values)) if last == name => {
                values.push(',');
                values.push_str(&value);
            }
            _ => joined.push((name.clone(), value)),
        }
    }
    joined
}

/// Removes dot segments and encodes the already encoded path again, as every service but S3 does.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let slash = if path.len() > 1 && path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    let encoded: Vec<String> = segments.into_iter().map(uri_encode).collect();
    format!("/{}{slash}", encoded.join("/"))
}

/// Returns the query sorted by encoded name, then by encoded value.
pub(crate) fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut encoded: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (uri_encode(name), uri_encode(value))).collect();
    encoded.sort();
    encoded.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::parse_query;

    #[test]
    fn canonical_path_normalised_and_encoded_twice() {
        for (path, canonical) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/clusters/prod", "/clusters/prod"),
            ("/clusters/a%20b", "/clusters/a%2520b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path}");
        }
    }

    #[test]
    fn canonical_headers_sorted_joined_trimmed() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [header("x-b", " a   b "), header("host", "h"), header("x-b", "c")];
        assert_eq!(joined_headers(&headers), [header("host", "h"), header("x-b", "a b,c")]);
        assert_eq!(signed_header_names(&headers), "host;x-b");
    }

    #[test]
    fn query_parsed_and_canonicalised() {
        let pairs = parse_query("b=%2F&a=x+y&a&%zz=1");
        let expected = [("b", "/"), ("a", "x+y"), ("a", ""), ("%zz", "1")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(canonical_query(&pairs), "%25zz=1&a=&a=x%2By&b=%2F");
    }
}
