//! JSON with the place of an error. Unknown fields are other versions' business and pass.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::ImportError;

/// The document of `text`.
pub(crate) fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, ImportError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let refused = |field: String, error: &serde_json::Error| {
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
        ImportError::Json { field, line: error.line(), column: error.column(), reason }
    };
    let document = || "the document".to_owned();
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        refused(if path == "." { document() } else { path }, error.inner())
    })?;
    deserializer.end().map_err(|error| refused(document(), &error))?;
    Ok(value)
}

/// Refuses a text that is not one JSON document, whatever it says.
pub(crate) fn whole(text: &[u8]) -> Result<(), ImportError> {
    match json::<IgnoredAny>(text) {
        Err(ImportError::Json { line, column, reason, .. }) => Err(ImportError::NotJson { line, column, reason }),
        whole => whole.map(drop),
    }
}
