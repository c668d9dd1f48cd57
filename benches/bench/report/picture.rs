//! The picture: for each data set bars of events per second, and what an event costs each process. Drawn
//! with the reader's colours, light or dark. The floor does none of the work and would dwarf everybody,
//! so it is a line of text.

use std::fmt::Write as _;

use super::table::grouped;
use super::{Drain, Report};
use crate::contender::Contender;

const WIDTH: f64 = 760.0;
const LABEL: f64 = 220.0;
/// Left free for the number behind the longest bar.
const NUMBER: f64 = 90.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const HEADING: f64 = 34.0;
const MARGIN: f64 = 16.0;

/// Process and its class of colour.
const PARTS: [(&str, &str, &str); 4] = [
    ("contender", "a", "contender"),
    ("redis", "b", "Redis"),
    ("kafka", "c", "Kafka"),
    ("clickhouse", "d", "ClickHouse"),
];

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.h{font-weight:600}.s{fill:#59636e}\
    .us{fill:#0969da}.them{fill:#8c959f}.a{fill:#0969da}.b{fill:#bf3989}.c{fill:#9a6700}.d{fill:#1a7f37}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.us{fill:#4493f8}.them{fill:#6e7681}\
    .a{fill:#4493f8}.b{fill:#db61a2}.c{fill:#d29922}.d{fill:#3fb950}}";

/// The whole picture.
pub fn svg(report: &Report) -> String {
    let mut canvas = Canvas { body: String::new(), y: MARGIN };
    for set in &report.sets {
        let of_set = report.drains.iter().filter(|drain| drain.set == set.name && drain.failed.is_none());
        let (floor, drains): (Vec<&Drain>, Vec<&Drain>) =
            of_set.partition(|drain| drain.who == Contender::Floor);
        if drains.is_empty() {
            continue;
        }
        let mut heading = format!("{}: events per second", set.name);
        if let Some(floor) = floor.first() {
            let _ = write!(heading, " (librdkafka, consuming only: {})", grouped(floor.events_per_second));
        }
        canvas.heading(&heading);
        canvas.rates(&drains);
        canvas.heading(&format!("{}: CPU time of one event, in microseconds", set.name));
        canvas.costs(&drains);
    }
    canvas.legend();
    let height = canvas.y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Events per second and CPU time per event\">\n<style>{STYLE}</style>\n{}</svg>\n",
        canvas.body
    )
}

/// Draws downwards.
struct Canvas {
    body: String,
    y: f64,
}

impl Canvas {
    fn heading(&mut self, text: &str) {
        let y = self.y + 16.0;
        let _ = writeln!(self.body, "<text class=\"h\" x=\"{MARGIN}\" y=\"{y}\">{text}</text>");
        self.y += HEADING;
    }

    fn rates(&mut self, drains: &[&Drain]) {
        let most = drains.iter().map(|drain| drain.events_per_second).fold(1.0, f64::max);
        for drain in drains {
            let class = if drain.who == Contender::Tollgate { "us" } else { "them" };
            let width = drain.events_per_second / most * bars();
            self.label(drain);
            self.bar(class, 0.0, width);
            self.number(width, &grouped(drain.events_per_second));
            self.y += STEP;
        }
        self.y += MARGIN;
    }

    fn costs(&mut self, drains: &[&Drain]) {
        let cost = |drain: &Drain| drain.cpu_micros_per_event.values().sum::<f64>();
        let most = drains.iter().map(|drain| cost(drain)).fold(0.01, f64::max);
        for drain in drains {
            self.label(drain);
            let mut from = 0.0;
            for (process, class, _) in PARTS {
                let micros = drain.cpu_micros_per_event.get(process).copied().unwrap_or(0.0);
                let width = micros / most * bars();
                self.bar(class, from, width);
                from += width;
            }
            self.number(from, &format!("{:.1}", cost(drain)));
            self.y += STEP;
        }
        self.y += MARGIN;
    }

    fn legend(&mut self) {
        let mut x = MARGIN;
        for (_, class, name) in PARTS {
            let (y, text, box_y) = (self.y + 11.0, x + 18.0, self.y);
            let _ = writeln!(
                self.body,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{box_y}\" width=\"12\" height=\"12\"/>\
                 <text class=\"s\" x=\"{text}\" y=\"{y}\">{name}</text>"
            );
            x += 110.0;
        }
        self.y += HEADING / 2.0;
    }

    fn label(&mut self, drain: &Drain) {
        let (y, title) = (self.y + 13.0, drain.who.title());
        let _ = writeln!(self.body, "<text class=\"s\" x=\"{MARGIN}\" y=\"{y}\">{title}</text>");
    }

    fn bar(&mut self, class: &str, from: f64, width: f64) {
        let (x, y) = (LABEL + from, self.y);
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
        );
    }

    fn number(&mut self, from: f64, text: &str) {
        let (x, y) = (LABEL + from + 6.0, self.y + 13.0);
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y}\">{text}</text>");
    }
}

/// The width of the longest bar.
fn bars() -> f64 {
    WIDTH - LABEL - NUMBER
}
