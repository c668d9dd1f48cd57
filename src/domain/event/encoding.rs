//! The three encodings, told apart: where each keeps the attributes and the data of an event.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::checks::Named;
use super::fields::{Field, Fields, Kind, Token};
use super::json::Document;
use super::wording::{quote, reject};
use super::{Header, RejectReason, Rejection};

/// How a record carries its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// CloudEvents binary: attributes are `ce_*` headers, the value is the data.
    Binary,
    /// CloudEvents structured: attributes at the top of the value, the data inside.
    Structured,
    /// Everything at the top of the value.
    Bare,
}

impl Encoding {
    /// What the headers say: binary when there is any `ce_*`, whatever else fits; structured when the
    /// content type says so. A value that names a `specversion` is structured without any header.
    pub(super) fn of_headers(headers: &[Header]) -> Self {
        if headers.iter().any(|header| attribute_name(header).is_some()) {
            Self::Binary
        } else if headers.iter().any(is_structured) {
            Self::Structured
        } else {
            Self::Bare
        }
    }
}

/// An event's fields, wherever its encoding keeps them.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'v, 'a> {
    /// Which encoding it is.
    pub(super) encoding: Encoding,
    /// Where `id`, `source`, `time` and what is CloudEvents' own are.
    pub(super) attributes: &'v Fields<'a>,
    /// Where everything else is.
    pub(super) data: &'v Fields<'a>,
}

impl<'a> View<'_, 'a> {
    /// A field of the envelope.
    pub(super) fn attribute(&self, field: Field) -> Named<'a> {
        let prefix = if self.encoding == Encoding::Binary { "ce_" } else { "" };
        Named { prefix, field, token: self.attributes.get(field) }
    }

    /// A field of the data.
    pub(super) fn datum(&self, field: Field) -> Named<'a> {
        let prefix = if self.encoding == Encoding::Structured { "data." } else { "" };
        Named { prefix, field, token: self.data.get(field) }
    }

    /// The first of some fields of the data that has a value; the first of all when none has.
    pub(super) fn first<const N: usize>(&self, fields: [Field; N]) -> Named<'a> {
        let present = |field: &Field| self.datum(*field).present().is_some();
        self.datum(fields.into_iter().find(present).unwrap_or(fields[0]))
    }
}

fn strip_prefix_ignore_case<'h>(text: &'h str, prefix: &str) -> Option<&'h str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

fn attribute_name(header: &Header) -> Option<&str> {
    strip_prefix_ignore_case(&header.name, "ce_")
}

fn is_structured(header: &Header) -> bool {
    let value = header.value.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("");
    header.name.eq_ignore_ascii_case("content-type")
        && strip_prefix_ignore_case(value.trim_start(), "application/cloudevents").is_some()
}

/// The attributes in the headers of CloudEvents binary. Errors: one that is not UTF-8, or there
/// twice. Attributes without a meaning here are not looked at.
pub(super) fn attributes_of(headers: &[Header]) -> Result<Fields<'_>, Rejection> {
    let mut fields = Fields::default();
    for header in headers {
        let Some(field) = attribute_name(header).and_then(envelope_field) else { continue };
        let token = match header.value.as_deref().map(std::str::from_utf8) {
            None => Token { kind: Kind::Null, raw: "" },
            Some(Ok(raw)) => Token { kind: Kind::Header, raw },
            Some(Err(fault)) => {
                let detail =
                    format_args!("ce_{} is not UTF-8 from byte {}", field.name(), fault.valid_up_to());
                return Err(reject(RejectReason::InvalidUtf8, detail));
            }
        };
        if fields.has(field) {
            let detail =
                format_args!("the header ce_{} is there twice, again with {}", field.name(), quote(token));
            return Err(reject(RejectReason::InvalidField, detail));
        }
        fields.set(field, token);
    }
    Ok(fields)
}

fn envelope_field(name: &str) -> Option<Field> {
    const ENVELOPE: [Field; 6] =
        [Field::Id, Field::Source, Field::Time, Field::SpecVersion, Field::Type, Field::Subject];
    ENVELOPE.into_iter().find(|field| name.eq_ignore_ascii_case(field.name()))
}

/// Where a structured event has its data.
#[derive(Debug)]
pub(super) enum Data {
    /// In the text, under `data`.
    Inline,
    /// Under `data_base64`: the bytes that stood there.
    Encoded(Vec<u8>),
}

/// Finds the data of a structured event. Errors: none, two, or of a wrong type.
pub(super) fn structured_data(document: &Document<'_>) -> Result<Data, Rejection> {
    let named = |field| Named { prefix: "", field, token: document.top.get(field) };
    let (data, encoded) = (named(Field::Data), named(Field::DataBase64));
    let fault = |named: Named<'_>, words: &str| Err(named.reject(RejectReason::InvalidField, words));
    match (data.token, encoded.present()) {
        (Some(_), Some(_)) => fault(encoded, "is there beside data"),
        (Some(Token { kind: Kind::Object, .. }), None) => Ok(Data::Inline),
        (Some(_), None) => fault(data, "is not an object"),
        (None, Some(_)) => {
            let text = encoded.text()?.unwrap_or_default();
            let bytes = BASE64.decode(text.as_bytes());
            bytes.map(Data::Encoded).or_else(|_| fault(encoded, "is not Base64"))
        }
        (None, None) => Err(data.missing()),
    }
}

/// RFC 4648's standard alphabet; padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
