//! Searching: GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS family.

use super::super::collection::{Answer, bulk, integer, is, text};
use super::super::{Call, CommandError};
use super::area::{Area, Shape, middle};
use super::hash::Point;
use super::{place, unit, write_distance, write_place};
use crate::notify::Classes;
use larder_protocol::number;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Digits, Element, Limits, SortedSet};
use std::cmp::Ordering;

/// What sets the commands apart.
#[derive(Clone, Copy)]
struct Form {
    /// Where the area is said.
    by: By,
    /// Index of the key that is searched.
    source: usize,
    /// What a result may be stored with.
    stores: Stores,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Longitude, latitude and radius behind the key.
    Place,
    /// Member and radius behind the key.
    Member,
    /// Options.
    Options,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stores {
    Never,
    /// With STORE or STOREDIST and a key.
    Asked,
    /// At argument 1; with STOREDIST, distances.
    Always,
}

/// Fewer corners have no inside.
const POLYGON_CORNERS_MIN: usize = 3;

/// Where a result is stored.
#[derive(Clone, Copy)]
struct Target<'a> {
    key: &'a [u8],
    distances: bool,
}

/// A parsed request.
#[derive(Default)]
struct Request<'a> {
    centre: Option<Point>,
    /// A centre was named, though its member may not be there because the key is not.
    by_member: bool,
    shape: Option<Shape>,
    /// Metres of the unit of the area, which is that of the answer too.
    metres: f64,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    ascending: Option<bool>,
    count: Option<usize>,
    any: bool,
    target: Option<Target<'a>>,
}

/// A member that was found.
struct Found<'a> {
    member: Element<'a>,
    score: f64,
    place: Point,
    /// In metres.
    distance: f64,
}

fn length(bytes: &[u8], message: &'static str) -> Result<f64, CommandError> {
    number::parse_f64(bytes).ok_or(text(message))
}

/// The place of a member, which must be there.
fn place_of(zset: &SortedSet, member: &[u8]) -> Result<Point, CommandError> {
    zset.score(member).map(Point::of_score).ok_or(text("ERR could not decode requested zset member"))
}

impl<'a> Request<'a> {
    /// Reads a request about a set that may be missing.
    fn parse(call: &Call<'a>, form: Form, zset: Option<&SortedSet>) -> Result<Request<'a>, CommandError> {
        let args = call.args;
        let mut request = Request { metres: 1.0, ..Request::default() };
        let first = match form.by {
            By::Place => {
                request.centre = Some(place(args.get(2), args.get(3))?);
                request.circle(args.get(4), args.get(5))?;
                6
            }
            By::Member => {
                // Near a member of nothing there is nothing: the original does not even read how near.
                if let Some(zset) = zset {
                    request.centre = Some(place_of(zset, args.get(2))?);
                    request.circle(args.get(3), args.get(4))?;
                }
                5
            }
            By::Options => form.source + 1,
        };
        if form.stores == Stores::Always {
            request.target = Some(Target { key: args.get(1), distances: false });
        }
        let mut at = first;
        while at < args.len() {
            at += 1 + request.option(call, form, zset, at)?;
        }
        request.check(call, form)?;
        Ok(request)
    }

    fn circle(&mut self, radius: &[u8], word: &[u8]) -> Answer {
        let radius = length(radius, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(text("ERR radius cannot be negative"));
        }
        self.metres = unit(word)?;
        self.shape = Some(Shape::Circle { radius: radius * self.metres });
        Ok(())
    }

    fn rectangle(&mut self, width: &[u8], height: &[u8], word: &[u8]) -> Answer {
        let width = length(width, "ERR need numeric width")?;
        let height = length(height, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(text("ERR height or width cannot be negative"));
        }
        self.metres = unit(word)?;
        self.shape = Some(Shape::Box { width: width * self.metres, height: height * self.metres });
        Ok(())
    }

    /// Reads the option at an index; answers how many arguments it has.
    fn option(
        &mut self,
        call: &Call<'a>,
        form: Form,
        zset: Option<&SortedSet>,
        at: usize,
    ) -> Result<usize, CommandError> {
        let args = call.args;
        let left = args.len() - at - 1;
        match args.get(at) {
            word if is(word, "WITHDIST") => self.with_distance = true,
            word if is(word, "WITHHASH") => self.with_hash = true,
            word if is(word, "WITHCOORD") => self.with_place = true,
            word if is(word, "ANY") => self.any = true,
            word if is(word, "ASC") => self.ascending = Some(true),
            word if is(word, "DESC") => self.ascending = Some(false),
            word if is(word, "COUNT") && left > 0 => {
                let count = usize::try_from(integer(args.get(at + 1))?).ok().filter(|&count| count > 0);
                self.count = Some(count.ok_or(text("ERR COUNT must be > 0"))?);
                return Ok(1);
            }
            word if form.stores == Stores::Asked
                && left > 0
                && (is(word, "STORE") || is(word, "STOREDIST")) =>
            {
                self.target = Some(Target { key: args.get(at + 1), distances: is(word, "STOREDIST") });
                return Ok(1);
            }
            word if form.stores == Stores::Always && is(word, "STOREDIST") => {
                self.target = Some(Target { key: args.get(1), distances: true });
            }
            _ if form.by == By::Options => return self.area_option(call, zset, at),
            _ => return Err(CommandError::Syntax),
        }
        Ok(0)
    }

    /// Reads an option that says where the area is; answers how many arguments it has.
    fn area_option(
        &mut self,
        call: &Call<'a>,
        zset: Option<&SortedSet>,
        at: usize,
    ) -> Result<usize, CommandError> {
        let args = call.args;
        let left = args.len() - at - 1;
        let by_place = self.centre.is_some() && !self.by_member;
        let by_polygon = matches!(self.shape, Some(Shape::Polygon { .. }));
        match args.get(at) {
            word if is(word, "FROMMEMBER") && left >= 1 && !by_place && !by_polygon => {
                self.by_member = true;
                self.centre = zset.map(|zset| place_of(zset, args.get(at + 1))).transpose()?;
                Ok(1)
            }
            word if is(word, "FROMLONLAT") && left >= 2 && !self.by_member && !by_polygon => {
                self.centre = Some(place(args.get(at + 1), args.get(at + 2))?);
                Ok(2)
            }
            word if is(word, "BYRADIUS")
                && left >= 2
                && matches!(self.shape, None | Some(Shape::Circle { .. })) =>
            {
                self.circle(args.get(at + 1), args.get(at + 2))?;
                Ok(2)
            }
            word if is(word, "BYBOX")
                && left >= 3
                && matches!(self.shape, None | Some(Shape::Box { .. })) =>
            {
                self.rectangle(args.get(at + 1), args.get(at + 2), args.get(at + 3))?;
                Ok(3)
            }
            word if is(word, "BYPOLYGON")
                && left >= 1
                && matches!(self.shape, None | Some(Shape::Polygon { .. }))
                && !by_place
                && !self.by_member =>
            {
                self.polygon(call, at)
            }
            _ => Err(CommandError::Syntax),
        }
    }

    /// Reads corners; answers how many arguments they are. Distances are from their middle, in metres.
    fn polygon(&mut self, call: &Call<'a>, at: usize) -> Result<usize, CommandError> {
        let (args, few) = (call.args, text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"));
        let invalid = || text("ERR invalid number of vertices");
        let count = number::parse_i64(args.get(at + 1)).ok_or_else(invalid)?;
        if count > i64::MAX / 2 {
            return Err(invalid());
        }
        let places = usize::try_from(count).ok().filter(|count| *count >= POLYGON_CORNERS_MIN);
        let Some(places) = places.filter(|count| count * 2 <= args.len() - at - 2) else { return Err(few) };
        let corner = |nth: usize| place(args.get(at + 2 + nth * 2), args.get(at + 3 + nth * 2));
        let corners = (0..places).map(corner).collect::<Result<Vec<_>, _>>()?;
        self.metres = 1.0;
        self.shape = Some(Shape::Polygon { corners });
        Ok(1 + places * 2)
    }

    fn check(&self, call: &Call<'_>, form: Form) -> Answer {
        if self.target.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            return Err(text(match form.stores {
                Stores::Always => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => {
                    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
            }));
        }
        let lacks = match form.by {
            By::Options if matches!(self.shape, Some(Shape::Polygon { .. })) => "",
            By::Options if self.centre.is_none() && !self.by_member => "FROMMEMBER or FROMLONLAT",
            By::Options if self.shape.is_none() => "BYRADIUS and BYBOX",
            _ => "",
        };
        if !lacks.is_empty() {
            let name = String::from_utf8_lossy(call.args.get(0));
            return Err(CommandError::new(format!("ERR exactly one of {lacks} can be specified for {name}")));
        }
        if self.any && self.count.is_none() {
            return Err(text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The members in the area, in the order and number that is asked for.
    fn find<'z>(&self, zset: &'z SortedSet) -> Vec<Found<'z>> {
        let centre = match &self.shape {
            Some(Shape::Polygon { corners }) => Some(middle(corners)),
            _ => self.centre,
        };
        let (Some(centre), Some(shape)) = (centre, self.shape.clone()) else { return Vec::new() };
        let area = Area { centre, shape };
        let most = self.count.unwrap_or(usize::MAX);
        let mut found = all_within(zset, &area, if self.any { most } else { usize::MAX });
        // A count without an order asks for the nearest.
        let ascending = self.ascending.or(self.count.filter(|_| !self.any).map(|_| true));
        if let Some(ascending) = ascending {
            let order = |a: &Found<'_>, b: &Found<'_>| match a.distance.total_cmp(&b.distance) {
                order if ascending => order,
                order => Ordering::reverse(order),
            };
            if most < found.len() {
                found.select_nth_unstable_by(most, order);
                found.truncate(most);
            }
            found.sort_by(order);
        }
        found
    }
}

/// The first `most` members in an area, cell by cell.
fn all_within<'z>(zset: &'z SortedSet, area: &Area, most: usize) -> Vec<Found<'z>> {
    let mut found = Vec::new();
    for cell in area.cells() {
        if found.len() >= most {
            break;
        }
        let (first, end) = cell.scores();
        let start = zset.partition_point(|score, _| score < first);
        let members = zset.iter_from(start, false).take_while(|(_, score)| *score < end);
        let within = members.filter_map(|(member, score)| {
            let place = Point::of_score(score);
            let distance = area.distance_within(&place)?;
            Some(Found { member, score, place, distance })
        });
        found.extend(within.take(most - found.len()));
    }
    found
}

fn run(call: &mut Call<'_>, form: Form) -> Answer {
    let key = call.args.get(form.source);
    call.keys.read_sorted_set(key)?;
    let zset = call.keys.peek_sorted_set(key)?;
    let request = Request::parse(call, form, zset)?;
    let found = zset.map_or(Vec::new(), |zset| request.find(zset));
    match request.target {
        Some(target) => {
            let result = stored(&found, &request, target, &call.node.limits());
            let always = form.stores == Stores::Always;
            store(call, target.key, result, if always { "geosearchstore" } else { "georadiusstore" });
        }
        None => answer(call.out, &request, &found),
    }
    Ok(())
}

/// What was found as a sorted set: with the same scores, or with distances in the unit of the request.
fn stored(found: &[Found<'_>], request: &Request<'_>, target: Target<'_>, limits: &Limits) -> SortedSet {
    let mut result = SortedSet::new();
    for place in found {
        let score = if target.distances { place.distance / request.metres } else { place.score };
        result.insert(place.member.bytes(&mut Digits::new()), score, limits);
    }
    result
}

fn store(call: &mut Call<'_>, key: &[u8], result: SortedSet, event: &'static str) {
    let len = result.len();
    if len > 0 {
        call.keys.put_sorted_set(key, result);
        call.keys.changed(key);
        call.keys.notify(Classes::ZSET, event, key);
    } else {
        call.keys.remove_and_notify(key);
    }
    call.out.integer(len as i64);
}

fn answer(out: &mut Reply, request: &Request<'_>, found: &[Found<'_>]) {
    let extras = [request.with_distance, request.with_hash, request.with_place];
    let extras = extras.iter().filter(|wanted| **wanted).count();
    out.array(found.len());
    for place in found {
        if extras > 0 {
            out.array(1 + extras);
        }
        bulk(out, place.member);
        if request.with_distance {
            write_distance(out, place.distance / request.metres);
        }
        if request.with_hash {
            out.integer(place.score as i64);
        }
        if request.with_place {
            write_place(out, &place.place);
        }
    }
}

pub(super) fn geosearch(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Options, source: 1, stores: Stores::Never })
}

pub(super) fn geosearchstore(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Options, source: 2, stores: Stores::Always })
}

pub(super) fn georadius(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Place, source: 1, stores: Stores::Asked })
}

pub(super) fn georadius_ro(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Place, source: 1, stores: Stores::Never })
}

pub(super) fn georadiusbymember(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Member, source: 1, stores: Stores::Asked })
}

pub(super) fn georadiusbymember_ro(call: &mut Call<'_>) -> Answer {
    run(call, Form { by: By::Member, source: 1, stores: Stores::Never })
}
