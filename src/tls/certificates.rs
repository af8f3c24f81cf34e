//! Certificates of a file, read for a moment.
//!
//! Deliberately not here: which of them are trusted (`tls`).

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memchr;
use memchr::memmem::find;

use crate::files;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The certificates of a file in DER, one behind the other. In one piece, because hundreds of small ones leave the heap as large as
/// it was with them.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    der: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Certificates {
    /// Reads a PEM file. Whatever is wrong in it is left out. A pipe is left out as well, because it can be read only once.
    pub(super) fn read(path: &Path) -> Certificates {
        files::read_regular(path, super::FILE_LIMIT)
            .map(|text| Certificates::parse(&text))
            .unwrap_or_default()
    }

    /// Parses PEM. The reader of the TLS library takes four times as many instructions, because it reads private keys as well.
    fn parse(mut text: &[u8]) -> Certificates {
        let mut read = Certificates { der: Vec::with_capacity(text.len() / 4 * 3), ends: Vec::new() };
        let mut letters = Vec::new();
        while let Some(begin) = find(text, BEGIN) {
            let is_line = matches!(text.get(..begin).and_then(<[u8]>::last), None | Some(b'\n' | b'\r'));
            text = text.get(begin + BEGIN.len()..).unwrap_or_default();
            if !is_line {
                continue;
            }
            let Some((body, _)) = memchr(b'-', text).and_then(|end| text.split_at_checked(end)) else {
                break;
            };
            letters.clear();
            letters.extend(body.iter().filter(|letter| !letter.is_ascii_whitespace()));
            match BASE64_STANDARD.decode_vec(&letters, &mut read.der) {
                Ok(()) => read.ends.push(read.der.len()),
                Err(_) => read.der.truncate(read.ends.last().copied().unwrap_or_default()),
            }
        }
        read
    }

    /// Each certificate.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.der.get(start..*end))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn reads_what_the_tls_library_reads() {
        let encoded = |length: u8| {
            let text = BASE64_STANDARD.encode((0..length).collect::<Vec<_>>());
            text.as_bytes().chunks(64).map(|line| format!("{}\n", line.escape_ascii())).collect::<String>()
        };
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n");
        let texts = [
            String::new(),
            block("CERTIFICATE", &encoded(200)),
            format!(
                "# one\n{}two: {}\n{}{}",
                block("CERTIFICATE", &encoded(1)),
                block("CERTIFICATE", &encoded(2)),
                block("PRIVATE KEY", &encoded(50)),
                block("CERTIFICATE", &encoded(99)).replace('\n', "\r\n"),
            ),
            block("CERTIFICATE", "not base64!\n") + &block("CERTIFICATE", &encoded(3)),
            block("TRUSTED CERTIFICATE", &encoded(40)) + &block("CERTIFICATE", &encoded(4)),
            format!("-----BEGIN CERTIFICATE-----\n{}", encoded(5)),
        ];
        for text in texts {
            let read = Certificates::parse(text.as_bytes());
            let expected = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
            let expected: Vec<_> = expected.map(|certificate| certificate.to_vec()).collect();
            assert_eq!(read.iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
