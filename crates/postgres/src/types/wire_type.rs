//! Types resolved down to how their values look on the wire.

use std::sync::Arc;

use ductstream_core::PgType;

use super::catalog::{TypeCatalog, TypeInfo, TypeKind};
use super::geometric::Shape;
use super::numeric::Declared;

/// How a type's values look on the wire.
#[derive(Debug, Clone)]
pub(super) enum WireType {
    Bool,
    Int2,
    Int4,
    Int8,
    /// `oid`: a number.
    Oid,
    /// `xid` and `cid`: numbers that mean something else than an OID.
    Xid,
    Xid8,
    Float4,
    Float8,
    /// A numeric whose scale is not fixed, or too large for a decimal.
    Numeric,
    Decimal128(Declared),
    Decimal256(Declared),
    /// The text itself in both formats.
    Text,
    /// Text that is one of these labels, which are separated by commas; empty when they are not known.
    Enum(Arc<str>),
    Json,
    /// A version byte before the text.
    Versioned,
    Jsonb,
    Char,
    Bytea,
    Uuid,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Inet,
    MacAddr,
    Bits,
    PgLsn,
    Tid,
    Snapshot,
    /// `int2vector` and `oidvector`: an array whose text is its elements, separated by spaces.
    SpacedArray(Box<WireType>),
    Geometric(Shape),
    TsVector,
    TsQuery,
    Array(Arc<ArrayType>),
    /// The bounds' type.
    Range(Arc<Typed>),
    /// The type of the ranges' bounds.
    Multirange(Arc<Typed>),
    Composite(Arc<[(String, Typed)]>),
    Hstore,
    Vector(Option<i32>),
    HalfVector(Option<i32>),
    /// A type whose binary form, if it has one, says nothing here.
    Opaque {
        sends_binary: bool,
    },
}

/// A resolved type and what the source calls it.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) wire: WireType,
    pub(super) pg: PgType,
}

#[derive(Debug, Clone)]
pub(super) struct ArrayType {
    pub(super) element: Typed,
    pub(super) delimiter: u8,
}

/// How deep types may be made of types. The server has no such limit, and no real schema comes near this one.
const DEPTH_MAX: usize = 32;

/// Resolves a column's type.
pub(super) fn resolve(catalog: &TypeCatalog, oid: u32, typmod: i32) -> Typed {
    Resolver { catalog, depth: 0 }.typed(oid, typmod)
}

/// See [`TypeCatalog::decode_binary`].
pub(super) fn decodes_binary(catalog: &TypeCatalog, oid: u32) -> bool {
    resolve(catalog, oid, -1).wire.arrives_readable()
}

#[derive(Clone, Copy)]
struct Resolver<'a> {
    catalog: &'a TypeCatalog,
    depth: usize,
}

impl Resolver<'_> {
    fn typed(self, oid: u32, typmod: i32) -> Typed {
        let pg = PgType { oid, typmod, name: self.catalog.format_type(oid, typmod) };
        Typed { wire: self.wire(oid, typmod), pg }
    }

    fn wire(mut self, oid: u32, typmod: i32) -> WireType {
        self.depth += 1;
        match self.catalog.get(oid) {
            Some(info) if self.depth <= DEPTH_MAX => self.known(info, typmod),
            _ => WireType::Opaque { sends_binary: true },
        }
    }

    fn known(self, info: &TypeInfo, typmod: i32) -> WireType {
        match &info.kind {
            TypeKind::Base => base(info, typmod),
            TypeKind::Enum { labels } => WireType::Enum(labels.join(",").into()),
            TypeKind::Array { element } => self.array(*element, typmod),
            TypeKind::Domain { base, typmod } => self.wire(*base, *typmod),
            TypeKind::Range { subtype } => WireType::Range(Arc::new(self.typed(*subtype, -1))),
            TypeKind::Multirange { range } => self.multirange(*range),
            // No format can hold a struct without fields.
            TypeKind::Composite { fields } if fields.is_empty() => WireType::Opaque { sends_binary: info.sends_binary },
            TypeKind::Composite { fields } => {
                let fields = fields.iter().map(|field| (field.name.clone(), self.typed(field.oid, field.typmod)));
                WireType::Composite(fields.collect())
            }
        }
    }

    fn array(self, element: u32, typmod: i32) -> WireType {
        let delimiter = self.catalog.get(element).map_or(b',', |info| info.delimiter);
        WireType::Array(Arc::new(ArrayType { element: self.typed(element, typmod), delimiter }))
    }

    fn multirange(self, range: u32) -> WireType {
        match self.wire(range, -1) {
            WireType::Range(subtype) => WireType::Multirange(subtype),
            _ => WireType::Opaque { sends_binary: true },
        }
    }
}

fn base(info: &TypeInfo, typmod: i32) -> WireType {
    let opaque = WireType::Opaque { sends_binary: info.sends_binary };
    match (info.extension.as_deref(), info.name.as_str()) {
        (None, _) if info.namespace == "pg_catalog" => built_in(info.oid, typmod).unwrap_or(opaque),
        (Some("citext"), "citext") => WireType::Text,
        (Some("ltree"), "ltree" | "lquery" | "ltxtquery") => WireType::Versioned,
        (Some("hstore"), "hstore") => WireType::Hstore,
        (Some("vector"), "vector") => WireType::Vector(vector_size(typmod)),
        (Some("vector"), "halfvec") => WireType::HalfVector(vector_size(typmod)),
        _ => opaque,
    }
}

/// Dimensions that pgvector allows (`VECTOR_MAX_DIM`, `HALFVEC_MAX_DIM`). Even a null takes all of them in Arrow.
const VECTOR_SIZE_MAX: i32 = 16_000;

fn vector_size(typmod: i32) -> Option<i32> {
    (1..=VECTOR_SIZE_MAX).contains(&typmod).then_some(typmod)
}

fn built_in(oid: u32, typmod: i32) -> Option<WireType> {
    Some(match oid {
        16 => WireType::Bool,
        17 => WireType::Bytea,
        18 => WireType::Char,
        20 => WireType::Int8,
        21 => WireType::Int2,
        22 => WireType::SpacedArray(Box::new(WireType::Int2)),
        23 => WireType::Int4,
        // name, text, xml, bpchar, varchar, refcursor
        19 | 25 | 142 | 1042 | 1043 | 1790 => WireType::Text,
        26 => WireType::Oid,
        27 => WireType::Tid,
        28 | 29 => WireType::Xid,
        30 => WireType::SpacedArray(Box::new(WireType::Oid)),
        114 => WireType::Json,
        600 => WireType::Geometric(Shape::Point),
        601 => WireType::Geometric(Shape::Segment),
        602 => WireType::Geometric(Shape::Path),
        603 => WireType::Geometric(Shape::Box),
        604 => WireType::Geometric(Shape::Polygon),
        628 => WireType::Geometric(Shape::Line),
        718 => WireType::Geometric(Shape::Circle),
        650 | 869 => WireType::Inet,
        700 => WireType::Float4,
        701 => WireType::Float8,
        774 | 829 => WireType::MacAddr,
        1082 => WireType::Date,
        1083 => WireType::Time,
        1114 => WireType::Timestamp,
        1184 => WireType::Timestamptz,
        1186 => WireType::Interval,
        1266 => WireType::Timetz,
        1560 | 1562 => WireType::Bits,
        1700 => numeric(typmod),
        2950 => WireType::Uuid,
        2970 | 5038 => WireType::Snapshot,
        3220 => WireType::PgLsn,
        3614 => WireType::TsVector,
        3615 => WireType::TsQuery,
        3802 => WireType::Jsonb,
        // jsonpath
        4072 => WireType::Versioned,
        5069 => WireType::Xid8,
        _ => return None,
    })
}

fn numeric(typmod: i32) -> WireType {
    match Declared::from_typmod(typmod) {
        Some(declared) if declared.fits(38) => WireType::Decimal128(declared),
        Some(declared) if declared.fits(76) => WireType::Decimal256(declared),
        _ => WireType::Numeric,
    }
}

impl WireType {
    /// Whether every value that can arrive on a connection that asks for binary values can be read.
    pub(super) fn arrives_readable(&self) -> bool {
        match self {
            Self::Opaque { sends_binary } => !sends_binary,
            nested => nested.decodes_binary(),
        }
    }

    /// Whether the binary form can be read. Inside another type there is no fall-back to text.
    fn decodes_binary(&self) -> bool {
        match self {
            Self::Opaque { .. } => false,
            Self::Array(array) => array.element.wire.decodes_binary(),
            Self::Range(subtype) | Self::Multirange(subtype) => subtype.wire.decodes_binary(),
            Self::Composite(fields) => fields.iter().all(|(_, field)| field.wire.decodes_binary()),
            _ => true,
        }
    }

    /// Whether there are values that the type's Arrow type cannot hold.
    pub(super) fn has_special_values(&self) -> bool {
        match self {
            Self::Decimal128(_) | Self::Decimal256(_) | Self::Array(_) => true,
            Self::Date | Self::Time | Self::Timestamp | Self::Timestamptz | Self::Interval => true,
            Self::Range(subtype) | Self::Multirange(subtype) => subtype.wire.has_special_values(),
            Self::Composite(fields) => fields.iter().any(|(_, field)| field.wire.has_special_values()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_a_size_when_pgvector_allows_it() {
        let sizes = [(-1, None), (0, None), (1, Some(1)), (16_000, Some(16_000)), (16_001, None), (i32::MAX, None)];
        for (typmod, size) in sizes {
            assert_eq!(vector_size(typmod), size, "{typmod}");
        }
    }
}
