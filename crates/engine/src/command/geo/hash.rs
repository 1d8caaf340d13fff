//! Places on earth as numbers of 52 bits: 26 bits of latitude and 26 of longitude, in turn, so that places with a common
//! beginning lie in one cell. Distances on a sphere. Pure functions.

use std::f64::consts::PI;

/// Radius of the earth as everybody who reads these numbers takes it.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Degrees of longitude to both sides.
const LONGITUDE_MAX: f64 = 180.0;
/// Where the web's maps end, so that they are square.
const LATITUDE_MAX: f64 = 85.051_128_78;
/// Bits of each coordinate of a score.
pub(super) const STEP_MAX: u32 = 26;

const RADIANS: f64 = PI / 180.0;

/// Degrees as radians.
pub(super) fn radians(degrees: f64) -> f64 {
    degrees * RADIANS
}

/// An angle in degrees, from the metres that it is at the equator.
pub(super) fn degrees_of_arc(metres: f64) -> f64 {
    metres / EARTH_RADIUS_M / RADIANS
}

/// A place in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

impl Point {
    /// False for a place that no score can name.
    pub(super) fn is_valid(&self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score of a place, which is valid.
    pub(super) fn score(&self) -> f64 {
        Cell::of(self, STEP_MAX).bits() as f64
    }

    /// The middle of the cell that a score names. Any number is the score of some place.
    pub(super) fn of_score(score: f64) -> Point {
        let (low, high) = Cell::of_bits(bits_of(score), STEP_MAX).corners();
        let middle = |low: f64, high: f64, most: f64| ((low + high) / 2.0).clamp(-most, most);
        Point {
            longitude: middle(low.longitude, high.longitude, LONGITUDE_MAX),
            latitude: middle(low.latitude, high.latitude, LATITUDE_MAX),
        }
    }

    /// Metres to another place: the haversine formula.
    pub(super) fn distance(&self, other: &Point) -> f64 {
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// Metres along the meridian.
    pub(super) fn distance_north(&self, other: &Point) -> f64 {
        EARTH_RADIUS_M * (radians(other.latitude) - radians(self.latitude)).abs()
    }

    /// The geohash that the rest of the world uses: eleven characters, the last of which is always `0`.
    pub(super) fn geohash(&self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        // There, latitudes go to the poles.
        let x = scaled(self.longitude, LONGITUDE_MAX, STEP_MAX);
        let y = scaled(self.latitude, 90.0, STEP_MAX);
        let bits = Cell { x, y, step: STEP_MAX }.bits() << 3;
        std::array::from_fn(
            |at| if at < 10 { ALPHABET[(bits >> (50 - at * 5)) as usize & 0x1f] } else { b'0' },
        )
    }
}

/// What a conversion from a double to an unsigned number makes of scores that are none of places: negative ones keep
/// their bits, larger ones than 64 bits have none.
fn bits_of(score: f64) -> u64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if score < TWO_TO_63 {
        score as i64 as u64
    } else if score < TWO_TO_63 * 2.0 {
        score as u64
    } else {
        0
    }
}

/// A coordinate as a fraction of its range, in units of 2^-step.
fn scaled(degrees: f64, most: f64, step: u32) -> u32 {
    ((degrees + most) / (most * 2.0) * (1_u64 << step) as f64) as u32
}

/// A part of the map: column and row of a grid of `2^step` by `2^step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    x: u32,
    y: u32,
    step: u32,
}

impl Cell {
    /// The cell that a place lies in.
    pub(super) fn of(point: &Point, step: u32) -> Cell {
        let x = scaled(point.longitude, LONGITUDE_MAX, step);
        Cell { x, y: scaled(point.latitude, LATITUDE_MAX, step), step }
    }

    fn of_bits(bits: u64, step: u32) -> Cell {
        Cell { x: gather(bits >> 1), y: gather(bits), step }
    }

    fn bits(&self) -> u64 {
        spread(self.y) | spread(self.x) << 1
    }

    /// The first score in the cell, and the first behind it.
    pub(super) fn scores(&self) -> (f64, f64) {
        let shift = (STEP_MAX - self.step) * 2;
        let bits = self.bits();
        ((bits << shift) as f64, ((bits + 1) << shift) as f64)
    }

    /// The south-western and the north-eastern corner.
    pub(super) fn corners(&self) -> (Point, Point) {
        let edge =
            |index: u32, most: f64| -most + f64::from(index) / (1_u64 << self.step) as f64 * (most * 2.0);
        let corner = |x, y| Point { longitude: edge(x, LONGITUDE_MAX), latitude: edge(y, LATITUDE_MAX) };
        (corner(self.x, self.y), corner(self.x.wrapping_add(1), self.y.wrapping_add(1)))
    }

    /// The cell so many columns to the east and rows to the north; the map goes on at its other edge. The edge itself,
    /// at 180 degrees, lies in a column of its own.
    pub(super) fn neighbour(&self, east: i32, north: i32) -> Cell {
        let wrapped = |index: u32, by: i32| match by {
            0 => index,
            _ => index.wrapping_add_signed(by) & ((1 << self.step) - 1),
        };
        Cell { x: wrapped(self.x, east), y: wrapped(self.y, north), ..*self }
    }
}

/// Puts a zero in front of every bit.
fn spread(half: u32) -> u64 {
    let mut bits = u64::from(half);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Every second bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut half = bits & 0x5555_5555_5555_5555;
    half = (half | half >> 1) & 0x3333_3333_3333_3333;
    half = (half | half >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    half = (half | half >> 4) & 0x00ff_00ff_00ff_00ff;
    half = (half | half >> 8) & 0x0000_ffff_0000_ffff;
    (half | half >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Point = Point { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Point = Point { longitude: 15.087269, latitude: 37.502669 };

    #[test]
    fn places_are_known_numbers() {
        // From the documentation of GEOADD, GEOHASH, GEOPOS and GEODIST.
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        assert_eq!(CATANIA.score(), 3_479_447_370_796_909.0);
        let (palermo, catania) = (Point::of_score(PALERMO.score()), Point::of_score(CATANIA.score()));
        assert_eq!(
            format!("{:.17} {:.17}", palermo.longitude, palermo.latitude),
            "13.36138933897018433 38.11555639549629859"
        );
        assert_eq!((&palermo.geohash(), &catania.geohash()), (b"sqc8b49rny0", b"sqdtr74hyu0"));
        assert_eq!(format!("{:.4}", palermo.distance(&catania)), "166274.1516");
    }

    #[test]
    fn every_number_is_some_place() {
        for score in
            [0.0, -1.0, -5.0, 1.5, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 2e19, 1e19, f64::MAX]
        {
            assert!(Point::of_score(score).is_valid(), "{score}");
        }
    }

    #[test]
    fn bits_come_apart_as_they_were_put_together() {
        for half in [0, 1, 2, 0x1234_5678, u32::MAX] {
            assert_eq!(gather(spread(half)), half);
            assert_eq!(gather(spread(half) << 1), 0);
        }
    }

    #[test]
    fn a_place_lies_in_its_cell_at_every_step() {
        for step in 1..=STEP_MAX {
            let cell = Cell::of(&PALERMO, step);
            let (low, high) = cell.corners();
            assert!(low.longitude <= PALERMO.longitude && PALERMO.longitude < high.longitude);
            assert!(low.latitude <= PALERMO.latitude && PALERMO.latitude < high.latitude);
            let (first, end) = cell.scores();
            assert!((first..end).contains(&PALERMO.score()));
        }
    }

    #[test]
    fn the_map_goes_round() {
        let cell = Cell::of(&Point { longitude: 179.9, latitude: 85.0 }, 3);
        assert_eq!(cell.neighbour(1, 1), Cell::of(&Point { longitude: -179.9, latitude: -85.0 }, 3));
        assert_eq!(cell.neighbour(1, 1).neighbour(-1, -1), cell);
    }
}
