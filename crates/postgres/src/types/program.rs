//! Column programs: a column's type, compiled once per relation.

use arrow_schema::{DataType, FieldRef};
use ductstream_core::PgType;

use super::builder::ColumnBuilder;
use super::catalog::TypeCatalog;
use super::wire_type::{Typed, resolve};
use super::{SpecialValues, layout};

/// How the values of one column become an Arrow array.
#[derive(Debug, Clone)]
pub struct ColumnProgram {
    typed: Typed,
    special: SpecialValues,
    data_type: DataType,
}

impl ColumnProgram {
    /// The program for a column of this type. A type that `catalog` does not know is read as text.
    pub fn compile(catalog: &TypeCatalog, oid: u32, typmod: i32, special: SpecialValues) -> Self {
        let typed = resolve(catalog, oid, typmod);
        let data_type = layout::data_type(&typed.wire, special);
        Self { typed, special, data_type }
    }

    /// The column's Arrow type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The column's PostgreSQL type, with the name that [`TypeCatalog::format_type`] gives it.
    pub fn pg_type(&self) -> &PgType {
        &self.typed.pg
    }

    /// The column's field: nullable, with `pg.type`, `pg.oid`, `pg.typmod`, for enums `pg.labels` and, for JSON and UUIDs, Arrow's
    /// extension type as metadata. Fields of composites, elements of arrays and bounds of ranges carry the same of their own
    /// types.
    pub fn field(&self, name: &str, pg: &PgType) -> FieldRef {
        layout::field(name, &self.typed.wire, pg, self.special)
    }

    /// Whether every value that arrives on a connection that asks for binary values can be read. When not, the
    /// connection has to ask for text.
    pub fn decodes_binary(&self) -> bool {
        self.typed.wire.arrives_readable()
    }

    /// A builder with room for `capacity` values.
    pub fn builder(&self, capacity: usize) -> ColumnBuilder {
        ColumnBuilder::new(&self.typed.wire, self.special, capacity)
    }
}

#[cfg(test)]
mod tests {
    use ductstream_core::metadata;
    use proptest::prelude::*;

    use super::*;
    use crate::types::{ValueError, builtin};

    fn compile(oid: u32, typmod: i32, special: SpecialValues) -> ColumnProgram {
        ColumnProgram::compile(&TypeCatalog::new(), oid, typmod, special)
    }

    #[test]
    fn fields_carry_the_type_and_arrows_extension_types() {
        let cases = [(2950, "arrow.uuid"), (114, "arrow.json"), (3802, "arrow.json")];
        for (oid, extension) in cases {
            let program = compile(oid, -1, SpecialValues::Error);
            let field = program.field("c", program.pg_type());
            assert!(field.is_nullable());
            assert_eq!(field.metadata()[metadata::PG_OID], oid.to_string());
            assert_eq!(field.metadata()["ARROW:extension:name"], extension);
        }
        let program = compile(1231, 786_438, SpecialValues::Error);
        assert_eq!(program.field("c", program.pg_type()).metadata()[metadata::PG_TYPE], "numeric(12,2)[]");
        let DataType::List(item) = program.data_type() else { panic!("{:?}", program.data_type()) };
        assert_eq!(item.metadata()[metadata::PG_TYPE], "numeric(12,2)");
    }

    #[test]
    fn a_type_that_is_not_known_is_text_and_never_read_from_binary() {
        let program = compile(99_999, -1, SpecialValues::Error);
        assert_eq!(program.data_type(), &DataType::Utf8);
        assert!(!program.decodes_binary());
        let mut builder = program.builder(1);
        assert!(matches!(builder.append_binary(b"anything"), Err(ValueError::Malformed(_))));
        builder.append_text(b"anything").unwrap();
        assert_eq!(builder.len(), 1);
    }

    #[test]
    fn a_builder_is_empty_and_usable_after_it_is_finished() {
        let mut builder = compile(1007, -1, SpecialValues::Error).builder(4);
        for batch in 0..3 {
            builder.append_text(b"{1,2}").unwrap();
            builder.append_null();
            assert_eq!((builder.len(), builder.finish().len()), (2, 2), "batch {batch}");
            assert!(builder.is_empty());
        }
    }

    #[test]
    fn null_replaces_elements_of_arrays_and_ranges_as_a_whole() {
        let mut dates = compile(1182, -1, SpecialValues::Null).builder(1);
        dates.append_text(b"{infinity,2024-01-01}").unwrap();
        let array = dates.finish();
        assert!(!array.is_null(0));
        assert_eq!(arrow_array::cast::as_list_array(&array).value(0).null_count(), 1);

        let mut ranges = compile(3912, -1, SpecialValues::Null).builder(1);
        ranges.append_text(b"[2024-01-01,infinity)").unwrap();
        ranges.append_text(b"[2024-01-01,)").unwrap();
        let array = ranges.finish();
        assert!(array.is_null(0) && !array.is_null(1));

        let mut multiranges = compile(4535, -1, SpecialValues::Null).builder(1);
        multiranges.append_text(b"{[2024-01-01,2024-01-02),[2025-01-01,infinity)}").unwrap();
        assert!(multiranges.finish().is_null(0));
    }

    #[test]
    fn a_null_where_none_can_be_is_malformed() {
        let null = (-1i32).to_be_bytes();
        // A range with both bounds, the first of them null; a multirange of one null.
        let range = [&[6][..], &null, &4i32.to_be_bytes(), &[0; 4]].concat();
        let multirange = [1i32.to_be_bytes(), null].concat();
        for special in [SpecialValues::Error, SpecialValues::Null, SpecialValues::Text] {
            for (oid, bytes) in [(3912, &range), (3904, &range), (4535, &multirange), (4451, &multirange)] {
                let appended = compile(oid, -1, special).builder(1).append_binary(bytes);
                assert!(matches!(appended, Err(ValueError::Malformed(_))), "{oid}: {appended:?}");
            }
        }
    }

    #[test]
    fn an_array_that_claims_more_elements_than_its_bytes_hold_is_malformed_and_one_without_any_is_empty() {
        let array = |dimensions: &[i32]| {
            let mut bytes = [dimensions.len() as i32, 0, 23].map(i32::to_be_bytes).concat();
            bytes.extend(dimensions.iter().flat_map(|len| [*len, 1].map(i32::to_be_bytes)).flatten());
            bytes
        };
        for special in [SpecialValues::Error, SpecialValues::Text] {
            let mut builder = compile(1007, -1, special).builder(1);
            for dimensions in [&[i32::MAX][..], &[1, i32::MAX], &[i32::MAX; 6], &[-1, 0]] {
                let appended = builder.append_binary(&array(dimensions));
                assert!(matches!(appended, Err(ValueError::Malformed(_))), "{dimensions:?}: {appended:?}");
            }
            for dimensions in [&[][..], &[0], &[i32::MAX, 0], &[i32::MAX, i32::MAX, 0]] {
                builder.append_binary(&array(dimensions)).unwrap();
            }
            let array = builder.finish();
            assert_eq!(array.len(), 4);
            match array.data_type() {
                DataType::Utf8 => assert!(arrow_array::cast::as_string_array(&array).iter().all(|it| it == Some("{}"))),
                _ => assert!(arrow_array::cast::as_list_array(&array).values().is_empty()),
            }
        }
    }

    fn any_type() -> impl Strategy<Value = u32> {
        let oids: Vec<u32> = builtin::types().flat_map(|(oid, _, array, _)| [oid, array]).collect();
        proptest::sample::select(oids)
    }

    /// Bytes that look like counts, lengths and literals more often than chance would have it.
    fn any_value() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(vec![0, 0, 0, 0]),
            Just(vec![0, 0, 0, 1]),
            Just(vec![0xff, 0xff, 0xff, 0xff]),
            Just(vec![0, 0, 0, 23]),
            "[\\[({\"\\\\,a1:. )}\\]=-]{1,6}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn whatever_arrives_a_failed_append_leaves_nothing_behind(
            oid in any_type(),
            special in prop_oneof![Just(SpecialValues::Error), Just(SpecialValues::Null), Just(SpecialValues::Text)],
            values in proptest::collection::vec((any_value(), any::<bool>()), 0..6),
        ) {
            let program = compile(oid, -1, special);
            let mut builder = program.builder(0);
            for (value, binary) in values {
                let before = builder.len();
                let appended = if binary { builder.append_binary(&value) } else { builder.append_text(&value) };
                prop_assert_eq!(builder.len(), before + usize::from(appended.is_ok()));
            }
            let len = builder.len();
            let array = builder.finish();
            prop_assert_eq!(array.len(), len);
            prop_assert_eq!(array.data_type(), program.data_type());
        }
    }
}
