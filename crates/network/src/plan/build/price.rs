//! What replacing a group of units costs, and who sells something compliant.

use std::collections::{BTreeMap, BTreeSet};

use super::Builder;
use crate::Error;
use crate::evidence::{Evidence, Status};
use crate::inventory::{Segment, Sym};

/// A part of a job: cost before discount, resources.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub equipment: f64,
    pub works: f64,
    pub crew: f64,
    pub minutes: f64,
    /// Months from the start to the natural refresh of the equipment, if known.
    refresh: Option<i32>,
}

impl Builder<'_> {
    /// Vendors that sell something compliant, by segment, and products with a passing release.
    pub(super) fn find_targets(
        &mut self,
        evidence: &Evidence,
        requirements: &[String],
    ) -> Result<(), Error> {
        let mut good: BTreeMap<(Segment, Sym), usize> = BTreeMap::new();
        for (i, d) in self.inv.devices.iter().enumerate() {
            if let Some(v) = d.vendor {
                *self.present.entry((d.segment, v)).or_default() += 1;
                if !self.bad[i] {
                    *good.entry((d.segment, v)).or_default() += 1;
                }
            }
            if let (Some(p), Some(r)) = (d.product, d.release) {
                let passes =
                    evidence.status(self.inv.names.get(p), self.inv.names.get(r), requirements)
                        == Status::Pass;
                *self.passing_release.entry(p).or_default() |= passes;
            }
        }
        let (mut plain, mut new) = (BTreeSet::new(), Vec::new());
        for t in &self.setup.targets {
            let parts = t.split_once(':').map(|(s, v)| (Segment::parse(s.trim()), v.trim()));
            let (segment, name) = match parts {
                Some((Some(s), v)) => (Some(s), v),
                _ => (None, t.as_str()),
            };
            let Some(v) = self.inv.names.find(name) else {
                return Err(Error::instance(
                    format!("target {t:?}"),
                    "is no vendor of the inventory; write ran:Name (or another segment) to bring in a new one",
                ));
            };
            match segment {
                Some(s) => new.push((s, v)),
                None => _ = plain.insert(v),
            }
        }
        for segment in Segment::ALL {
            let mut list: Vec<(usize, Sym)> = good
                .iter()
                .filter(|((s, v), _)| *s == segment && (plain.is_empty() || plain.contains(v)))
                .map(|((_, v), n)| (*n, *v))
                .collect();
            // A vendor with some compliant and mostly designated units is no target for new ones.
            list.retain(|(n, v)| 2 * n >= self.present.get(&(segment, *v)).copied().unwrap_or(0));
            list.sort_by_key(|(n, v)| (std::cmp::Reverse(*n), *v));
            let mut vendors: Vec<Sym> = list.into_iter().take(3).map(|x| x.1).collect();
            vendors.extend(new.iter().filter(|n| n.0 == segment).map(|n| n.1));
            let mut seen = BTreeSet::new();
            vendors.retain(|v| seen.insert(*v));
            self.targets.insert(segment, vendors);
        }
        Ok(())
    }

    /// Months from the start to the end of the book life.
    fn refresh(&self, device: u32) -> Result<Option<i32>, Error> {
        let life = (self.used.get("fin.ran_life_years")? * 12.0) as i32;
        Ok(self.inv.devices[device as usize]
            .installed
            .map(|i| (i.plus_months(life).months() - self.b.start.months()).max(0)))
    }

    /// Price of new equipment in the place of a unit.
    fn equipment(&self, device: u32) -> Result<f64, Error> {
        let get = |id: &str| self.used.get(id);
        let x = &self.inv.devices[device as usize];
        let function = self.inv.text(x.function);
        Ok(match x.segment {
            Segment::Ran if function.starts_with("rru") || self.inv.text(x.role) == "radio" => {
                get("ran.remote_radio_unit")? + get("ran.antenna_sector")?
            }
            Segment::Ran => get("ran.baseband")?,
            Segment::Transport if function.starts_with("agg") => get("tx.optical_transport_node")?,
            Segment::Transport | Segment::Other => get("tx.cell_site_router")?,
            Segment::AccessFixed => get("tx.olt")?,
            // A small operator's core is about eight functions.
            Segment::Core | Segment::Management => get("core.regional_or_small_operator")? / 8.0,
        })
    }

    /// What replacing `devices` in one visit takes.
    pub(super) fn part(&self, devices: &[u32], radio: bool) -> Result<Part, Error> {
        let get = |id: &str| self.used.get(id);
        let mut p = Part::default();
        let mut visit = false;
        for &d in devices {
            let segment = self.inv.devices[d as usize].segment;
            visit |= matches!(segment, Segment::Transport | Segment::Other);
            p.equipment += self.equipment(d)?;
            p.refresh = match (p.refresh, self.refresh(d)?) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        if self.setup.price_premium {
            p.equipment *= get("ran.vendor_price_premium")?;
        }
        let minutes = get("outage.site_minutes")?;
        if radio {
            p.works = get("site.install_labour")? + get("disposal.per_site")?;
            p.crew = 1.0 / get("speed.crew_sites_per_week")?;
            p.minutes = minutes;
        } else if visit {
            p.works = get("site.extra_visit")?;
            p.crew = get("crew.transport_weeks")?;
            // A router is swapped beside the old one: a quarter of the outage of a radio swap.
            p.minutes = minutes / 4.0;
        }
        Ok(p)
    }

    /// Net cost of parts done in a period: discounted spend, less the refresh that is saved.
    pub(super) fn net(&self, parts: &[Part], saving: f64, period: usize) -> Result<f64, Error> {
        let d = self.discount[period];
        let life = self.used.get("fin.ran_life_years")? * 12.0;
        let rate = self.used.get("fin.discount_rate")?;
        let mut sum = -saving * d;
        for p in parts {
            sum += (p.equipment + p.works) * d;
            if let (true, Some(refresh)) = (self.setup.refresh_credit, p.refresh) {
                let at = (period as i32 * self.setup.months) as f64;
                let early = (f64::from(refresh) - at).max(0.0);
                let worth = (1.0 + rate).powf(-f64::from(refresh) / 12.0);
                sum -= 0.8 * p.equipment * worth * (1.0 - early / life).max(0.0);
            }
        }
        Ok(sum)
    }
}
