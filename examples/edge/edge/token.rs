//! The service token and the random text that this and other made-up values consist of.
//!
//! Apart because the token is the one thing that all parties share. Deliberately not here: any check of a token,
//! which is `access`, and protection of the secret, which opens nothing but this process.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

/// A made-up Cloudflare Access service token in the format of August 2026.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceToken {
    /// The value of `CF-Access-Client-Id`.
    pub(crate) id: String,
    /// The value of `CF-Access-Client-Secret`.
    pub(crate) secret: String,
}

impl ServiceToken {
    /// Makes one up; the checksum at its end is random too, because Cloudflare does not say how it is made.
    pub(crate) fn random() -> Self {
        let secret = format!("cfast_{}{}", alphanumeric(40), hex(8));
        Self { id: format!("{}.access", hex(32)), secret }
    }

    /// The same token with another secret, as Rotate makes it.
    pub(super) fn rotated(&self) -> Self {
        Self { id: self.id.clone(), ..Self::random() }
    }
}

impl fmt::Debug for ServiceToken {
    /// The id alone.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServiceToken({})", self.id)
    }
}

/// Makes up `digits` lowercase hexadecimal digits.
pub(crate) fn hex(digits: usize) -> String {
    pick(b"0123456789abcdef", digits)
}

fn alphanumeric(characters: usize) -> String {
    pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", characters)
}

fn pick(alphabet: &[u8], count: usize) -> String {
    let mut bytes = vec![0_u8; count];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    // The bias of the remainder does not matter here.
    bytes.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect()
}
