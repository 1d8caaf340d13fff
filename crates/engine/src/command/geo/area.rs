//! What is searched for places: a circle or a box around a place, and the cells of the map that cover it. Pure functions.
//!
//! The cells are at most nine: the one in the middle and its neighbours, of a size that the area does not reach beyond.
//! Their order is the order in which unsorted results come, and so is part of what clients see.

use super::hash::{Cell, Point, STEP_MAX, degrees_of_arc, radians};

/// Half of the way around the earth on the web's maps, in metres.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// Polygons that are wider are looked for on the whole map.
const WIDE_DEGREES: f64 = 60.0;
/// Beyond these latitudes a cell is so narrow that larger ones are needed.
const NARROW_LATITUDES: [f64; 2] = [66.0, 80.0];
/// The middle, then its neighbours: columns to the east, rows to the north.
const AROUND: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// The form of an area, in metres.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A circle.
    Circle { radius: f64 },
    /// A box along meridians and parallels.
    Box { width: f64, height: f64 },
    /// Corners, whose edges are straight on a map of longitudes and latitudes.
    Polygon { corners: Vec<Point> },
}

/// A part of the earth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) centre: Point,
    pub(super) shape: Shape,
}

impl Area {
    /// Metres from the centre to a place in the area; `None` for one outside.
    pub(super) fn distance_within(&self, place: &Point) -> Option<f64> {
        match &self.shape {
            Shape::Circle { radius } => {
                let distance = self.centre.distance(place);
                (distance <= *radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                let beside = Point { longitude: self.centre.longitude, latitude: place.latitude };
                if place.distance_north(&self.centre) > height / 2.0 || place.distance(&beside) > width / 2.0
                {
                    return None;
                }
                Some(self.centre.distance(place))
            }
            Shape::Polygon { corners } => is_within(corners, place).then(|| self.centre.distance(place)),
        }
    }

    /// Half the width and half the height, in metres.
    fn extent(&self) -> (f64, f64) {
        match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon { .. } => (self.reach(), self.reach()),
        }
    }

    /// Metres from the centre to the farthest place.
    fn reach(&self) -> f64 {
        match &self.shape {
            Shape::Circle { radius } => *radius,
            Shape::Polygon { corners } => {
                corners.iter().map(|corner| self.centre.distance(corner)).fold(0.0, f64::max)
            }
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        }
    }

    /// The south-western and north-eastern corner of a box in degrees around the area. Its edge towards the pole decides
    /// how wide it is, because there a degree is shortest.
    fn bounds(&self) -> (Point, Point) {
        if let Shape::Polygon { corners } = &self.shape {
            let range = |of: fn(&Point) -> f64| {
                corners
                    .iter()
                    .map(of)
                    .fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)))
            };
            let (west, east) = range(|corner| corner.longitude);
            let (south, north) = range(|corner| corner.latitude);
            return (Point { longitude: west, latitude: south }, Point { longitude: east, latitude: north });
        }
        let (width, height) = self.extent();
        let Point { longitude, latitude } = self.centre;
        let up = degrees_of_arc(height);
        let polar = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = degrees_of_arc_at(width, polar);
        (
            Point { longitude: longitude - aside, latitude: latitude - up },
            Point { longitude: longitude + aside, latitude: latitude + up },
        )
    }

    /// The size of cells of which three by three cover the area, as far as its reach alone tells.
    fn step(&self) -> u32 {
        let mut reach = self.reach();
        if reach == 0.0 {
            return STEP_MAX;
        }
        let mut step: i32 = 1;
        while reach < MERCATOR_MAX_M {
            reach *= 2.0;
            step += 1;
        }
        step -= 2;
        step -= NARROW_LATITUDES.iter().filter(|limit| self.centre.latitude.abs() > **limit).count() as i32;
        step.clamp(1, STEP_MAX as i32) as u32
    }

    /// True if the area reaches so far around the earth, or its middle lies so far from it on the map, that neighbours of a
    /// cell around its middle may not cover it.
    fn is_wide(&self, low: &Point, high: &Point) -> bool {
        let Point { longitude, latitude } = self.centre;
        high.longitude - low.longitude > WIDE_DEGREES
            || high.latitude - low.latitude > WIDE_DEGREES
            || !(low.longitude..=high.longitude).contains(&longitude)
            || !(low.latitude..=high.latitude).contains(&latitude)
    }

    /// The cells to look through, in order. No two that follow one another are the same.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let (low, high) = self.bounds();
        if matches!(self.shape, Shape::Polygon { .. }) && self.is_wide(&low, &high) {
            let corner = Cell::of(&Point { longitude: 0.0, latitude: 0.0 }, 1);
            return [(0, 0), (0, 1), (1, 0), (1, 1)]
                .map(|(east, north)| corner.neighbour(east, north))
                .to_vec();
        }
        let mut step = self.step();
        let corners_of = |step, (east, north)| Cell::of(&self.centre, step).neighbour(east, north).corners();
        let reaches_beyond = corners_of(step, (0, 1)).1.latitude < high.latitude
            || corners_of(step, (0, -1)).0.latitude > low.latitude
            || corners_of(step, (1, 0)).1.longitude < high.longitude
            || corners_of(step, (-1, 0)).0.longitude > low.longitude;
        if step > 1 && reaches_beyond {
            step -= 1;
        }
        let middle = Cell::of(&self.centre, step);
        let (from, to) = middle.corners();
        // Where the middle cell alone reaches beyond the bounds, nothing behind that edge is needed.
        let needed = |(east, north): (i32, i32)| {
            step < 2
                || !(north < 0 && from.latitude < low.latitude
                    || north > 0 && to.latitude > high.latitude
                    || east < 0 && from.longitude < low.longitude
                    || east > 0 && to.longitude > high.longitude)
        };
        let around = AROUND.iter().filter(|place| needed(**place));
        let mut cells: Vec<Cell> = around.map(|&(east, north)| middle.neighbour(east, north)).collect();
        cells.dedup();
        cells
    }
}

/// True if a ray from the place to the east crosses the edges an odd number of times.
fn is_within(corners: &[Point], place: &Point) -> bool {
    let mut within = false;
    let mut before = match corners.last() {
        Some(last) => last,
        None => return false,
    };
    for corner in corners {
        if (corner.latitude > place.latitude) != (before.latitude > place.latitude) {
            let share = (place.latitude - corner.latitude) / (before.latitude - corner.latitude);
            let crossing = corner.longitude + share * (before.longitude - corner.longitude);
            within ^= place.longitude < crossing;
        }
        before = corner;
    }
    within
}

/// The middle of places on the sphere: where the mean of the lines from the earth's centre to them points.
pub(super) fn middle(places: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for place in places {
        let (longitude, latitude) = (radians(place.longitude), radians(place.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    Point { longitude: y.atan2(x).to_degrees(), latitude: z.atan2(x.hypot(y)).to_degrees() }
}

/// Degrees of longitude that so many metres are at a latitude.
fn degrees_of_arc_at(metres: f64, latitude: f64) -> f64 {
    degrees_of_arc(metres / radians(latitude).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(longitude: f64, latitude: f64, radius: f64) -> Area {
        Area { centre: Point { longitude, latitude }, shape: Shape::Circle { radius } }
    }

    /// True if the cells hold the score of a place.
    fn covers(area: &Area, place: &Point) -> bool {
        area.cells().iter().any(|cell| {
            let (first, end) = cell.scores();
            (first..end).contains(&place.score())
        })
    }

    #[test]
    fn what_is_within_is_covered() {
        for centre in [(15.0, 37.0), (-122.4, 37.8), (0.0, 0.0), (20.0, -60.0), (100.0, 70.0)] {
            for radius in [1.0, 300.0, 5_000.0, 120_000.0, 800_000.0] {
                let area = circle(centre.0, centre.1, radius);
                assert!(area.cells().len() <= 9);
                let (low, high) = area.bounds();
                for x in 0..=20 {
                    for y in 0..=20 {
                        let part = |low: f64, high: f64, at: i32| low + (high - low) * f64::from(at) / 20.0;
                        let place = Point {
                            longitude: part(low.longitude, high.longitude, x),
                            latitude: part(low.latitude, high.latitude, y),
                        };
                        if place.is_valid() && area.distance_within(&place).is_some() {
                            assert!(covers(&area, &place), "{area:?} {place:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_box_is_no_circle() {
        let centre = Point { longitude: 15.0, latitude: 37.0 };
        let corner = Point { longitude: 15.5, latitude: 37.5 };
        let distance = centre.distance(&corner);
        let within = |shape| Area { centre, shape }.distance_within(&corner);
        assert_eq!(within(Shape::Box { width: 120_000.0, height: 120_000.0 }), Some(distance));
        assert_eq!(within(Shape::Circle { radius: 60_000.0 }), None);
        assert_eq!(within(Shape::Box { width: 120_000.0, height: 100_000.0 }), None);
        assert_eq!(within(Shape::Box { width: 60_000.0, height: 120_000.0 }), None);
    }

    #[test]
    fn extreme_areas_have_cells() {
        for radius in [0.0, f64::MIN_POSITIVE, 1e9, f64::MAX, f64::INFINITY] {
            for latitude in [-85.05, 0.0, 85.05] {
                let cells = circle(180.0, latitude, radius).cells();
                assert!((1..=9).contains(&cells.len()), "{radius} {latitude}");
            }
        }
    }
    #[test]
    fn a_polygon_covers_what_lies_in_it() {
        let point = |(longitude, latitude)| Point { longitude, latitude };
        let shapes: [&[(f64, f64)]; 4] = [
            &[(12.0, 37.0), (12.0, 39.0), (16.0, 39.0), (16.0, 37.0)],
            &[(0.0, 0.0), (10.0, 1.0), (2.0, 20.0)],
            &[(-170.0, -60.0), (170.0, -60.0), (170.0, 80.0), (-170.0, 80.0)],
            &[(12.0, 37.0), (16.0, 39.0), (12.0, 39.0), (16.0, 37.0), (14.0, 36.0)],
        ];
        for corners in shapes {
            let corners: Vec<Point> = corners.iter().copied().map(point).collect();
            let area = Area { centre: middle(&corners), shape: Shape::Polygon { corners } };
            let (low, high) = area.bounds();
            let mut found = 0;
            for x in 0..=40 {
                for y in 0..=40 {
                    let part = |low: f64, high: f64, at: i32| low + (high - low) * f64::from(at) / 40.0;
                    let place = Point {
                        longitude: part(low.longitude, high.longitude, x),
                        latitude: part(low.latitude, high.latitude, y),
                    };
                    if area.distance_within(&place).is_some() {
                        found += 1;
                        assert!(covers(&area, &place), "{area:?} {place:?}");
                    }
                }
            }
            assert!(found > 100, "{found} places in {area:?}");
        }
        let square = [(0.0, 0.0), (0.0, 2.0), (2.0, 2.0), (2.0, 0.0)].map(point);
        assert!(is_within(&square, &point((1.0, 1.0))) && !is_within(&square, &point((3.0, 1.0))));
        let middle = middle(&square);
        assert!(
            (middle.longitude - 1.0).abs() < 1e-9 && (middle.latitude - 1.000_152).abs() < 1e-6,
            "{middle:?}"
        );
    }
}
