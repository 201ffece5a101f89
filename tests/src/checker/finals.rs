//! What must be there in the end, for siblings and registers: C1, C2, C4.

use super::{
    Limits, Report, Rule,
    expiry::Standings,
    order::{Below, KeyLog, Read, WriteId},
};

/// Judges the last state of a key that keeps siblings.
pub(super) fn siblings(
    log: &KeyLog<'_>,
    standings: &Standings,
    limits: &Limits,
    report: &mut Report,
) {
    let Some(last) = last_read(log, report) else {
        return;
    };
    if standings.may_have_lapsed(last.op.id) {
        return;
    }
    let mut below = Below::new(log);
    nothing_replaced_is_left(log, last, limits, &mut below, report);
    for write in unaccounted(log, last, &mut below) {
        let node = &log.writes[write as usize];
        if node.op.is_ok() {
            let text = format!(
                "acknowledged {} is gone, and nothing replaced it",
                log.name(write)
            );
            report.broken(Rule::NoLoss, log.key, Some(last.op.id), text);
        } else if node.must_stay(limits) {
            let text = format!(
                "{} was seen and is gone, and nothing replaced it",
                log.name(write)
            );
            report.broken(Rule::ExactSiblings, log.key, Some(last.op.id), text);
        }
    }
}

/// Counts what a last-writer-wins register lost.
pub(super) fn register(log: &KeyLog<'_>, report: &mut Report) {
    let Some(last) = last_read(log, report) else {
        return;
    };
    let mut below = Below::new(log);
    let lost = unaccounted(log, last, &mut below);
    let ok = |write: &WriteId| log.writes[*write as usize].op.is_ok();
    report.register_lost += lost.iter().filter(|write| ok(write)).count() as u64;
    report.register_acked += log
        .writes
        .iter()
        .filter(|write| write.op.is_ok() && !write.is_delete())
        .count() as u64;
}

/// The read that shows the end. A key with acknowledged writes that nobody read at the end proves
/// nothing.
pub(super) fn last_read<'l, 'h>(log: &'l KeyLog<'h>, report: &mut Report) -> Option<&'l Read<'h>> {
    let last = log.final_read();
    if last.is_none() && log.writes.iter().any(|write| write.op.is_ok()) {
        let text = "it was written, and never read after the run had quiesced".to_owned();
        report.broken(Rule::Vacuous, log.key, None, text);
    }
    last
}

/// Puts that are neither there, nor below what is there, nor below a deletion that may have
/// happened.
fn unaccounted(log: &KeyLog<'_>, last: &Read<'_>, below: &mut Below) -> Vec<WriteId> {
    let ids = 0..log.writes.len() as WriteId;
    let deletions = ids
        .clone()
        .filter(|id| log.writes[*id as usize].is_delete());
    below.mark_from(log, last.view.iter().copied().chain(deletions), 0);
    ids.filter(|id| !log.writes[*id as usize].is_delete() && !below.reached(*id))
        .collect()
}

/// C2: nothing is left that a write which took effect had replaced.
fn nothing_replaced_is_left(
    log: &KeyLog<'_>,
    last: &Read<'_>,
    limits: &Limits,
    below: &mut Below,
    report: &mut Report,
) {
    let ids = || 0..log.writes.len() as WriteId;
    below.mark_under(
        log,
        ids().filter(|id| log.writes[*id as usize].op.is_ok()),
        0,
    );
    let (replaced, rest): (Vec<WriteId>, _) = last.view.iter().partition(|id| below.reached(**id));
    for write in replaced {
        let text = format!(
            "{} is back: an acknowledged write replaced it",
            log.name(write)
        );
        report.broken(Rule::NoResurrection, log.key, Some(last.op.id), text);
    }
    let stays = |id: &WriteId| log.writes[*id as usize].must_stay(limits);
    below.mark_under(log, ids().filter(stays), 0);
    for write in rest.into_iter().filter(|id: &WriteId| below.reached(*id)) {
        let text = format!(
            "{} is there although a write that was seen replaced it",
            log.name(write)
        );
        report.broken(Rule::ExactSiblings, log.key, Some(last.op.id), text);
    }
}
