//! From a column's values to those of its Connect type, by a program compiled once per schema.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{
    Array, ArrayRef, Date32Array, Float32Array, Float64Array, Int64Array, ListArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef};
use ductstream_core::{Error, Result, metadata};

use super::connect::{Connect, DEFAULT, PRECISION};
use super::fill::{Fill, filled};
use super::settings::{BinaryHandling, DebeziumSettings, DecimalHandling, HstoreHandling, IntervalHandling};
use super::{bits, decimal, default, geometry, temporal, text};

/// Turns a column's array into one of its Connect type.
pub(super) type Convert = Arc<dyn Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync>;

/// A column in its Connect type.
#[derive(Clone)]
pub(super) struct Converted {
    pub(super) field: FieldRef,
    pub(super) convert: Convert,
    /// One value that stands for an unchanged one.
    pub(super) placeholder: ArrayRef,
    /// One value that stands in a column that is NOT NULL where nothing is known, such as in the old image of a delete that holds
    /// only the key.
    pub(super) fallback: ArrayRef,
}

impl Converted {
    pub(super) fn compile(field: &Field, optional: bool, settings: &DebeziumSettings) -> Result<Self> {
        let (connect, convert) = of(field, settings)?;
        let unknown = Fill::Placeholder(&settings.unavailable_value_placeholder);
        let placeholder = match field.data_type() {
            // One entry in both forms of an hstore.
            DataType::Map(..) => convert(&filled(field.data_type(), unknown)?)?,
            _ => filled(&connect.data_type, unknown)?,
        };
        let fallback = match zero(field)? {
            Some(zero) => convert(&zero)?,
            None => filled(&connect.data_type, Fill::Zero)?,
        };
        let default = default::of(field, &connect);
        let connect = match default {
            Some(default) => connect.with(DEFAULT, default.to_string()),
            None => connect,
        };
        Ok(Self { field: connect.field(field.name(), optional), convert, placeholder, fallback })
    }
}

/// What says least in a column whose values are not put into words as they are: its zero, to be converted.
fn zero(field: &Field) -> Result<Option<ArrayRef>> {
    Ok(match field.data_type() {
        DataType::Date32 => Some(Arc::new(Date32Array::from(vec![0]))),
        DataType::Time64(_) => Some(Arc::new(Time64MicrosecondArray::from(vec![0]))),
        DataType::Timestamp(..) => Some(Arc::new(TimestampMicrosecondArray::from(vec![0]))),
        DataType::Struct(fields) if crate::json::is_interval(fields) => Some(filled(field.data_type(), Fill::Zero)?),
        DataType::Map(..) => Some(filled(field.data_type(), Fill::Zero)?),
        DataType::Utf8 if Pg::of(field).oid == oid::TIMETZ => Some(Arc::new(StringArray::from(vec!["00:00:00+00"]))),
        _ => None,
    })
}

/// OIDs of types that are the same in every database.
mod oid {
    pub(super) const XML: u32 = 142;
    pub(super) const POINT: u32 = 600;
    pub(super) const MONEY: u32 = 790;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const TIMETZ: u32 = 1266;
    pub(super) const BIT: u32 = 1560;
    pub(super) const VARBIT: u32 = 1562;
    pub(super) const NUMERIC: u32 = 1700;
    pub(super) const TSVECTOR: u32 = 3614;
}

/// The PostgreSQL type that a field's metadata names.
struct Pg<'a> {
    oid: u32,
    typmod: i32,
    name: &'a str,
}

impl<'a> Pg<'a> {
    fn of(field: &'a Field) -> Self {
        let tag = |key: &str| field.metadata().get(key).map_or("", String::as_str);
        Self {
            oid: tag(metadata::PG_OID).parse().unwrap_or(0),
            typmod: tag(metadata::PG_TYPMOD).parse().unwrap_or(-1),
            name: tag(metadata::PG_TYPE),
        }
    }

    /// Whether the type has this name in whatever schema: types of extensions have no OID of their own.
    fn is_named(&self, name: &str) -> bool {
        self.name.rsplit('.').next() == Some(name)
    }
}

fn keep() -> Convert {
    Arc::new(|array| Ok(array.clone()))
}

fn plain(data_type: DataType) -> (Connect, Convert) {
    (Connect::plain(data_type), keep())
}

/// The Connect type of `field`, and how its values get there.
fn of(field: &Field, settings: &DebeziumSettings) -> Result<(Connect, Convert)> {
    let pg = Pg::of(field);
    Ok(match field.data_type() {
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => plain(field.data_type().clone()),
        DataType::Float32 | DataType::Float64 => plain(field.data_type().clone()),
        DataType::UInt32 => (
            Connect::plain(DataType::Int64),
            Arc::new(|array| {
                let array = array.as_primitive::<UInt32Type>();
                Ok(Arc::new(array.iter().map(|value| value.map(i64::from)).collect::<Int64Array>()))
            }),
        ),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            decimal_column(*precision, *scale, settings.decimal)
        }
        DataType::Binary => bytes_column(settings.binary),
        DataType::FixedSizeBinary(16) => (Connect::named(DataType::Utf8, "io.debezium.data.Uuid"), text::uuids()),
        DataType::Date32 => temporal::date(settings.time),
        DataType::Time64(_) => temporal::time(settings.time, pg.typmod),
        DataType::Timestamp(_, None) => temporal::timestamp(settings.time, pg.typmod),
        DataType::Timestamp(_, Some(_)) => temporal::zoned_timestamp(pg.typmod),
        DataType::Utf8 => text_column(field, &pg, settings),
        DataType::List(item) if item.metadata().contains_key(metadata::PG_TYPE) => list(item, settings)?,
        DataType::List(item) if item.data_type().is_floating() => vector(item),
        DataType::FixedSizeList(item, _) => vector(item),
        DataType::Map(..) => match settings.hstore {
            HstoreHandling::Json => (Connect::named(DataType::Utf8, "io.debezium.data.Json"), text::hstore_json()),
            HstoreHandling::Map => plain(field.data_type().clone()),
        },
        DataType::Struct(fields) if crate::json::is_interval(fields) => match settings.interval {
            IntervalHandling::Numeric => temporal::interval_micros(),
            IntervalHandling::String => temporal::interval_text(),
        },
        // Ranges and composites, and multiranges, which are lists of them.
        _ => (Connect::plain(DataType::Utf8), text::postgres(field)?),
    })
}

fn decimal_column(precision: u8, scale: i8, mode: DecimalHandling) -> (Connect, Convert) {
    match mode {
        DecimalHandling::Precise => {
            let connect = decimal::connect(i64::from(scale)).parameter(PRECISION, precision.to_string());
            (connect, Arc::new(decimal_bytes))
        }
        DecimalHandling::String => (Connect::plain(DataType::Utf8), decimal_texts(scale)),
        DecimalHandling::Double => {
            let texts = decimal_texts(scale);
            (Connect::plain(DataType::Float64), Arc::new(move |array| decimal::doubles(texts(array)?.as_string())))
        }
    }
}

fn decimal_bytes(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            Ok(decimal::bytes(values.iter().map(|value| value.map(|value| value.to_be_bytes()))))
        }
        _ => {
            let values = array.as_primitive::<Decimal256Type>();
            Ok(decimal::bytes(values.iter().map(|value| value.map(|value| value.to_be_bytes()))))
        }
    }
}

fn decimal_texts(scale: i8) -> Convert {
    Arc::new(move |array| {
        let text = |digits: Option<String>| digits.map(|digits| crate::json::decimal_text(&digits, scale));
        Ok(match array.data_type() {
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>();
                Arc::new(values.iter().map(|value| text(value.map(|it| it.to_string()))).collect::<StringArray>())
            }
            _ => {
                let values = array.as_primitive::<Decimal256Type>();
                Arc::new(values.iter().map(|value| text(value.map(|it| it.to_string()))).collect::<StringArray>())
            }
        })
    })
}

pub(super) fn bytes_column(mode: BinaryHandling) -> (Connect, Convert) {
    match mode {
        BinaryHandling::Bytes => plain(DataType::Binary),
        _ => (Connect::plain(DataType::Utf8), text::bytes(mode)),
    }
}

fn text_column(field: &Field, pg: &Pg<'_>, settings: &DebeziumSettings) -> (Connect, Convert) {
    let named = |name: &str| (Connect::named(DataType::Utf8, name), keep());
    let extension = field.metadata().get("ARROW:extension:name").map(String::as_str);
    if let Some(labels) = field.metadata().get(metadata::PG_LABELS) {
        return (Connect::named(DataType::Utf8, "io.debezium.data.Enum").parameter("allowed", labels), keep());
    }
    match pg.oid {
        _ if extension == Some("arrow.json") => named("io.debezium.data.Json"),
        oid::XML => named("io.debezium.data.Xml"),
        oid::TSVECTOR => named("io.debezium.data.Tsvector"),
        oid::TIMETZ => temporal::zoned_time(),
        oid::BIT | oid::VARBIT if pg.typmod == 1 => (Connect::plain(DataType::Boolean), bits::booleans()),
        oid::BIT | oid::VARBIT => bits::column(pg.typmod),
        oid::POINT => geometry::point(),
        oid::MONEY => decimal::money(settings.decimal, settings.money_fraction_digits),
        oid::NUMERIC if decimal::fits_arrow(pg.typmod) => plain(DataType::Utf8),
        oid::NUMERIC => decimal::variable(settings.decimal),
        // Text because of the flow's `special_values`, so that it can hold infinities.
        oid::DATE => named("io.debezium.time.IsoDate"),
        oid::TIMESTAMP => temporal::timestamp_text(),
        oid::TIMESTAMPTZ => temporal::zoned_timestamp_text(pg.typmod),
        _ if pg.is_named("ltree") => named("io.debezium.data.Ltree"),
        _ => plain(DataType::Utf8),
    }
}

/// An array, element by element. An element may be NULL whatever its type.
fn list(item: &FieldRef, settings: &DebeziumSettings) -> Result<(Connect, Convert)> {
    let (connect, convert) = of(item, settings)?;
    let field = connect.field("item", true);
    let connect = Connect::plain(DataType::List(field.clone()));
    let convert = move |array: &ArrayRef| -> Result<ArrayRef> {
        let list = array.as_list::<i32>();
        let items = convert(list.values())?;
        let rebuilt = ListArray::try_new(field.clone(), list.offsets().clone(), items, list.nulls().cloned());
        Ok(Arc::new(rebuilt.map_err(failed)?))
    };
    Ok((connect, Arc::new(convert)))
}

/// A vector of pgvector.
fn vector(item: &FieldRef) -> (Connect, Convert) {
    let half = item.data_type() == &DataType::Float16;
    let (element, name) = if half {
        (DataType::Float32, "io.debezium.data.FloatVector")
    } else {
        (DataType::Float64, "io.debezium.data.DoubleVector")
    };
    let field: FieldRef = Arc::new(Field::new("item", element, false));
    let connect = Connect::named(DataType::List(field.clone()), name);
    let convert = move |array: &ArrayRef| -> Result<ArrayRef> {
        let (values, offsets) = match array.as_fixed_size_list_opt() {
            Some(list) => {
                let size = usize::try_from(list.value_length()).unwrap_or(0);
                (list.values().clone(), OffsetBuffer::from_lengths(std::iter::repeat_n(size, list.len())))
            }
            None => {
                let list = array.as_list::<i32>();
                (list.values().clone(), list.offsets().clone())
            }
        };
        let items: ArrayRef = if half {
            let values = values.as_primitive::<Float16Type>().values();
            Arc::new(
                values.iter().map(|value| value.to_f32()).collect::<Vec<_>>().into_iter().collect::<Float32Array>(),
            )
        } else {
            let values = values.as_primitive::<Float32Type>().values();
            Arc::new(
                values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>().into_iter().collect::<Float64Array>(),
            )
        };
        Ok(Arc::new(ListArray::try_new(field.clone(), offsets, items, array.nulls().cloned()).map_err(failed)?))
    };
    (connect, Arc::new(convert))
}

pub(super) fn failed(error: arrow_schema::ArrowError) -> Error {
    Error::bug("putting values into Connect types").with_source(error)
}

/// The numbers of a column, null where it is.
pub(super) fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> impl Iterator<Item = Option<T::Native>> + '_ {
    array.as_primitive::<T>().iter()
}

pub(super) type Days = Date32Type;
pub(super) type TimeMicros = Time64MicrosecondType;
pub(super) type TimestampMicros = TimestampMicrosecondType;
