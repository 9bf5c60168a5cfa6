//! Problems that many operations answer with alike are written down once: the document stays small enough to read.

use std::collections::BTreeMap;

use utoipa::openapi::{Components, Ref, RefOr, Response, path::Operation as Described};

use super::problems::MEDIA;

/// Responses by what they say, each with its name.
#[derive(Default)]
pub(super) struct Shared {
    names: BTreeMap<String, String>,
    responses: BTreeMap<String, RefOr<Response>>,
}

impl Shared {
    /// Takes the problems of an operation and leaves references to them. Done operation by operation, since all the copies together
    /// would take many times the memory of the document.
    pub(super) fn take(&mut self, described: &mut Described) {
        for (status, response) in &mut described.responses.responses {
            let RefOr::T(known) = &*response else { continue };
            let is_problem = status.starts_with(['4', '5']) && known.content.keys().all(|media| media == MEDIA);
            if let Some(name) = is_problem.then(|| self.name(status, known)).flatten() {
                *response = RefOr::Ref(Ref::from_response_name(name));
            }
        }
    }

    /// Puts them into the parts that the document shares.
    pub(super) fn put(self, components: &mut Components) {
        components.responses.extend(self.responses);
    }

    /// The name of a response, a new one where none says the same. `None` where it can't be told.
    fn name(&mut self, status: &str, response: &Response) -> Option<String> {
        let says = serde_json::to_string(response).ok()?;
        if let Some(name) = self.names.get(&says) {
            return Some(name.clone());
        }
        let with_status = self.responses.keys().filter(|name| name.starts_with(&format!("problem-{status}"))).count();
        let name = format!("problem-{status}-{}", with_status + 1);
        self.responses.insert(name.clone(), RefOr::T(response.clone()));
        self.names.insert(says, name.clone());
        Some(name)
    }
}
