//! Geometric types as the server prints them (`src/backend/utils/adt/geo_ops.c`). All are made of `double precision`
//! coordinates.

use super::ValueError;
use super::bytes::Reader;
use super::float::write_f64;

/// The geometric types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Point,
    Segment,
    Path,
    Box,
    Polygon,
    Line,
    Circle,
}

/// Bytes of a point.
const POINT: usize = 16;

/// Appends a binary value.
pub(super) fn render(shape: Shape, bytes: &[u8], out: &mut String) -> Result<(), ValueError> {
    let mut reader = Reader::new(bytes);
    match shape {
        Shape::Point => point(&mut reader, out)?,
        Shape::Segment => enclosed(['[', ']'], 2, &mut reader, out)?,
        Shape::Box => points(2, &mut reader, out)?,
        Shape::Path => {
            let brackets = if reader.u8()? == 0 { ['[', ']'] } else { ['(', ')'] };
            let count = reader.count(POINT)?;
            enclosed(brackets, count, &mut reader, out)?;
        }
        Shape::Polygon => {
            let count = reader.count(POINT)?;
            enclosed(['(', ')'], count, &mut reader, out)?;
        }
        Shape::Line => {
            out.push('{');
            numbers(3, &mut reader, out)?;
            out.push('}');
        }
        Shape::Circle => {
            out.push('<');
            point(&mut reader, out)?;
            out.push(',');
            numbers(1, &mut reader, out)?;
            out.push('>');
        }
    }
    reader.finish()
}

fn numbers(count: usize, reader: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        write_f64(reader.f64()?, out);
    }
    Ok(())
}

fn point(reader: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    out.push('(');
    numbers(2, reader, out)?;
    out.push(')');
    Ok(())
}

fn points(count: usize, reader: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        point(reader, out)?;
    }
    Ok(())
}

fn enclosed(brackets: [char; 2], count: usize, reader: &mut Reader<'_>, out: &mut String) -> Result<(), ValueError> {
    out.push(brackets[0]);
    points(count, reader, out)?;
    out.push(brackets[1]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(shape: Shape, head: &[u8], coordinates: &[f64]) -> String {
        let numbers = coordinates.iter().flat_map(|number| number.to_be_bytes());
        let bytes: Vec<u8> = head.iter().copied().chain(numbers).collect();
        let mut out = String::new();
        render(shape, &bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn shapes_print_as_the_server_prints_them() {
        assert_eq!(rendered(Shape::Point, &[], &[1.0, -0.5]), "(1,-0.5)");
        assert_eq!(rendered(Shape::Segment, &[], &[0.0, 0.0, 1.0, 1.0]), "[(0,0),(1,1)]");
        assert_eq!(rendered(Shape::Box, &[], &[1.0, 1.0, 0.0, 0.0]), "(1,1),(0,0)");
        assert_eq!(rendered(Shape::Path, &[0, 0, 0, 0, 1], &[1.0, 2.0]), "[(1,2)]");
        assert_eq!(rendered(Shape::Path, &[1, 0, 0, 0, 1], &[1.0, 2.0]), "((1,2))");
        assert_eq!(rendered(Shape::Polygon, &[0, 0, 0, 2], &[0.0, 0.0, 1e16, 2.0]), "((0,0),(1e+16,2))");
        assert_eq!(rendered(Shape::Line, &[], &[1.0, 2.0, 3.0]), "{1,2,3}");
        assert_eq!(rendered(Shape::Circle, &[], &[0.0, 0.0, 5.0]), "<(0,0),5>");
    }

    #[test]
    fn a_count_beyond_the_bytes_is_malformed() {
        assert!(render(Shape::Polygon, &[0x7f, 0xff, 0xff, 0xff], &mut String::new()).is_err());
    }
}
