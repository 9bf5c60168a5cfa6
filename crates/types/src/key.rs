//! `Key`: UTF-8 text of 1 to 255 characters without U+0000, ordered by its bytes.

use std::sync::Arc;

use crate::limits::KEY_CHARS_MAX;

/// A valid key. Cheap to clone. Its order is the order of its UTF-8 bytes, which is also the order of its scalar values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No characters at all.
    #[error("the key is empty; a key has 1 to {KEY_CHARS_MAX} characters")]
    Empty,
    /// Too many characters.
    #[error("the key has {chars} characters; the limit is {KEY_CHARS_MAX}")]
    TooLong {
        /// How many characters it has.
        chars: usize,
    },
    /// It holds U+0000.
    #[error("the key holds U+0000, which no key may hold")]
    Nul,
    /// It is not UTF-8.
    #[error("the key is not valid UTF-8")]
    NotUtf8,
}

impl Key {
    /// Checks a text and makes it a key.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        // A text of at most 255 bytes has at most 255 characters: the count is for longer ones only.
        if text.len() > KEY_CHARS_MAX {
            let chars = text.chars().count();
            if chars > KEY_CHARS_MAX {
                return Err(KeyError::TooLong { chars });
            }
        }
        if text.as_bytes().contains(&0) {
            return Err(KeyError::Nul);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The same from bytes, as they come from a disk or a path.
    ///
    /// # Errors
    /// Says which rule the bytes break.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| KeyError::NotUtf8)?)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, by which keys are ordered.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Escaped, so that a key can't write control characters into a log.
        write!(f, "{:?}", &*self.0)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters() {
        assert!(Key::new(&"é".repeat(255)).is_ok(), "255 characters of two bytes each are a key");
        assert_eq!(Key::new(&"é".repeat(256)), Err(KeyError::TooLong { chars: 256 }));
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert_eq!(Key::new("a\0b"), Err(KeyError::Nul));
        assert_eq!(Key::from_bytes(&[0xff]), Err(KeyError::NotUtf8));
    }
}
