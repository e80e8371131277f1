//! The relay that understands what it carries.
//!
//! Every message is read strictly, named as a programmer would have written it, and written
//! down before its answer is delivered. Under a full role the bytes go on as they came; in a
//! narrow one each request is judged first, and what is denied never reaches Houdini: the
//! script gets an exception and the connection lives on. In both, what Houdini asks of the
//! script is held to what callbacks need.

mod denial;
mod flow;
mod narrow;
mod opening;
mod state;

pub use flow::run;
pub use state::{Inspector, Stop, Who};
