//! How each kind of request is written.

use super::Request;
use crate::brine::{Int, Value, put_count, put_str, put_tuple};
use crate::message::Boxed;
use crate::message::boxed::{put_items, put_local, put_value};

impl Request<'_> {
    /// Writes the boxed arguments.
    pub(in crate::message) fn write(&self, out: &mut Vec<u8>) {
        let mut with = |count: usize| {
            put_items(out, count + 1);
            if let Some(target) = self.target() {
                put_local(out, &target);
            }
        };
        match self {
            Self::Ping {
                data: Boxed::Plain(data),
            } => {
                put_value(out);
                put_tuple(out, 1);
                out.extend_from_slice(data.as_bytes());
            }
            Self::Ping { data } => {
                put_items(out, 1);
                data.write(out);
            }
            Self::Close | Self::GetRoot => {
                put_value(out);
                put_tuple(out, 0);
            }
            Self::Inspect { target } => {
                put_value(out);
                put_tuple(out, 1);
                target.write(out);
            }
            Self::GetAttr { name, .. } | Self::DelAttr { name, .. } => {
                with(1);
                put_text(out, name);
            }
            Self::SetAttr { name, value, .. } => {
                with(2);
                put_text(out, name);
                value.write(out);
            }
            Self::Call { args, kwargs, .. } => {
                with(2);
                args.write(out);
                kwargs.write(out);
            }
            Self::CallAttr {
                name, args, kwargs, ..
            } => {
                with(3);
                put_text(out, name);
                args.write(out);
                kwargs.write(out);
            }
            Self::Repr { .. } | Self::Str { .. } | Self::Hash { .. } | Self::Dir { .. } => with(0),
            Self::Cmp { other, op, .. } => {
                with(2);
                other.write(out);
                put_text(out, op.method());
            }
            Self::Pickle { protocol, .. } => {
                with(1);
                put_value(out);
                Value::Int(Int::Small(*protocol)).write(out);
            }
            Self::Del { count, .. } | Self::BuffIter { count, .. } => {
                with(1);
                put_value(out);
                put_count(out, *count);
            }
            Self::OldSlicing {
                attempt,
                fallback,
                start,
                stop,
                args,
                ..
            } => {
                with(5);
                put_text(out, attempt);
                put_text(out, fallback);
                start.write(out);
                stop.write(out);
                args.write(out);
            }
            Self::CtxExit { exception, .. } => {
                with(1);
                exception.write(out);
            }
            Self::InstanceCheck { other, .. } => {
                with(1);
                put_value(out);
                other.write(out);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_value(out);
    put_str(out, text);
}
