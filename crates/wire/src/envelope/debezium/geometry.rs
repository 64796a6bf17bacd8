//! `point`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, Float64Array, StructArray, new_null_array};
use arrow_schema::{DataType, Field, Fields};
use ductstream_core::{Error, Result};

use super::connect::{Connect, DOC};
use super::convert::{Convert, failed};

/// Well-known binary: little-endian, of a point.
const WKB_POINT: [u8; 5] = [1, 1, 0, 0, 0];

pub(super) fn point() -> (Connect, Convert) {
    let fields = Fields::from(vec![
        Field::new("x", DataType::Float64, false),
        Field::new("y", DataType::Float64, false),
        Field::new("wkb", DataType::Binary, true),
        Field::new("srid", DataType::Int32, true),
    ]);
    let connect = Connect::named(DataType::Struct(fields.clone()), "io.debezium.data.geometry.Point");
    let convert = move |array: &ArrayRef| -> Result<ArrayRef> {
        let texts = array.as_string::<i32>();
        let points = texts.iter().map(|text| text.map(parse).transpose()).collect::<Result<Vec<_>>>()?;
        let axis = |axis: &dyn Fn((f64, f64)) -> f64| -> ArrayRef {
            Arc::new(
                points
                    .iter()
                    .map(|point| point.map_or(0.0, axis))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .collect::<Float64Array>(),
            )
        };
        let wkb: BinaryArray = points.iter().map(|point| point.map(well_known_binary)).collect();
        let srid = new_null_array(&DataType::Int32, texts.len());
        let columns: Vec<ArrayRef> = vec![axis(&|point| point.0), axis(&|point| point.1), Arc::new(wkb), srid];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, texts.nulls().cloned()).map_err(failed)?))
    };
    (connect.with(DOC, "Geometry (POINT)"), Arc::new(convert))
}

/// `(1,2)`.
fn parse(text: &str) -> Result<(f64, f64)> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let numbers = inner.and_then(|inner| inner.split_once(','));
    let point = numbers.and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)));
    point.ok_or_else(|| Error::bug("a point does not read as two numbers"))
}

fn well_known_binary((x, y): (f64, f64)) -> Vec<u8> {
    [&WKB_POINT[..], &x.to_le_bytes(), &y.to_le_bytes()].concat()
}
