//! What is said to who asked for something that is denied.

use std::sync::Arc;

use rpyc::{ExceptionClass, Head, exception_frame};

use crate::rules::Live;

/// Whose session it is, as denials say it.
#[derive(Debug, Clone)]
pub struct Who {
    /// Such as `alice` or `service/farm`.
    pub identity: String,
    /// The name of the role.
    pub role: Arc<str>,
    /// The policy, which says whom to ask.
    pub rules: Arc<Live>,
}

impl Who {
    /// Whom to ask, by the policy that is in force at this moment.
    pub(super) fn ask(&self) -> String {
        let policy = self.rules.policy();
        let role = policy.role(&self.role);
        let contact = role.as_ref().and_then(|role| role.contact());
        contact.unwrap_or("your IT team").to_owned()
    }

    /// The frame that raises a denial in the artist's script.
    pub(super) fn denies(
        &self,
        request: Head,
        class: ExceptionClass,
        why: &str,
        rule: &str,
        reference: &str,
    ) -> Vec<u8> {
        let Self { identity, role, .. } = self;
        let ask = self.ask();
        let text = format!(
            "{identity} may not do this in the role {role}: {why} (rule {rule}, reference \
             {reference})\nhint: ask {ask}, and name the reference"
        );
        exception_frame(request, class, &text)
    }
}

/// The frame that tells Houdini that it may not ask this of the script.
pub(super) fn refuses_houdini(request: Head, class: ExceptionClass, why: &str) -> Vec<u8> {
    let text = format!("hrpyc-guard did not pass this on to the script: {why}");
    exception_frame(request, class, &text)
}
