//! What of the server's does not reach the script, and what is said instead.

use rpyc::{
    Body, Conversation, ExceptionClass, Head, Message, Request, Side, exception_frame, reverse,
};

use super::Stop;
use crate::relay::Out;

/// Follows a message of the server's. Gives whether it may go on; one that may not was
/// answered.
pub(super) fn may_go(
    conversation: &mut Conversation,
    reported: &mut bool,
    message: &Message<'_>,
    size: usize,
    out: &mut Out,
) -> Result<bool, Stop> {
    let seen = conversation.see(Side::Server, message, size);
    seen.map_err(|breach| Stop::new(Side::Server, breach))?;
    let Body::Request(request) = &message.body else {
        return Ok(true);
    };
    let Err(why) = reverse::judge(conversation, request) else {
        return Ok(true);
    };
    if !std::mem::replace(reported, true) {
        report(conversation, message.seq, request, why);
    }
    conversation.withdraw(Side::Server, message);
    let answer = refusal(message.head(), reverse::refused_as(request), why);
    out.answers.extend_from_slice(&answer);
    Ok(false)
}

/// The head of the request that this is the head of the answer to.
pub(super) fn asked(answer: Head) -> Head {
    Head {
        threads: answer.threads.map(|threads| rpyc::Threads {
            sender: threads.receiver,
            receiver: threads.sender,
        }),
        ..answer
    }
}

/// The frame that tells the server that it may not ask this of the client.
pub(super) fn refusal(request: Head, class: ExceptionClass, why: &str) -> Vec<u8> {
    let text = format!("the artist's end of hrpyc-guard did not pass this on to the script: {why}");
    exception_frame(request, class, &text)
}

/// Logs a refusal.
fn report(conversation: &Conversation, seq: u64, request: &Request<'_>, why: &str) {
    let asked = conversation.request(Side::Server, seq);
    let what = asked.map(|asked| asked.callee().to_owned());
    let what = what.filter(|what| !what.is_empty());
    let what = what.unwrap_or_else(|| request.name().to_owned());
    tracing::warn!(
        what,
        why,
        "refused: what Houdini asked of the script; more of this session is not logged"
    );
}
