//! Other installations that hold objects of a class here: whether each is still there.
//!
//! Who holds an object answers every difference in its status, so a question is a field of it,
//! `status.contender`, which the holder takes away. One object is asked for all that an installation
//! holds in a namespace. Who does not answer is gone, and what it held may be served here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::control::object::Object;
use crate::control::translate::holders::Place;

/// How long a holder has to answer: its replicas may be in an election.
const ANSWER: Duration = Duration::from_secs(60);
/// How long an answer counts.
const AGAIN: Duration = Duration::from_secs(600);

/// What is known of other installations, while they hold objects that would be served here.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    known: BTreeMap<Place, Rival>,
    /// Those that were spoken of in the log.
    told: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Rival {
    asked: Option<Question>,
    answered: Option<Instant>,
    gone: bool,
}

#[derive(Debug)]
struct Question {
    uid: Arc<str>,
    at: Instant,
    /// The API server took it.
    taken: bool,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Outlook<'a> {
    /// The objects whose holders are asked.
    pub(super) ask: Vec<&'a Object>,
    /// When an answer is due.
    pub(super) due: Option<Instant>,
    /// Installations that hold objects, spoken of for the first time, with how many.
    pub(super) news: Vec<(String, usize)>,
}

impl Rivals {
    /// Looks at the objects of a class here that another installation holds, as `holders` says;
    /// `own` is this one.
    pub(super) fn look<'a>(
        &mut self,
        held: &[(&'a str, &'a Object)],
        own: &str,
        now: Instant,
    ) -> Outlook<'a> {
        let mut places: BTreeMap<Place, Vec<&Object>> = BTreeMap::new();
        for (holder, object) in held {
            let place = (holder.to_string(), object.key.namespace.clone());
            places.entry(place).or_default().push(object);
        }
        self.known.retain(|place, _| places.contains_key(place));
        let mut outlook = Outlook::default();
        for (place, objects) in places {
            if self.told.insert(place.0.clone()) {
                let count = held.iter().filter(|(holder, _)| *holder == place.0).count();
                outlook.news.push((place.0.clone(), count));
            }
            let rival = self.known.entry(place).or_default();
            rival.hear(&objects, own, now);
            let heard = rival.answered.is_some_and(|at| now < at + AGAIN);
            if let (false, false, None, Some(object)) =
                (rival.gone, heard, &rival.asked, objects.first())
            {
                rival.asked = Some(Question { uid: object.uid.clone(), at: now, taken: false });
                outlook.ask.push(object);
            }
            let due = rival.asked.as_ref().map(|question| question.at + ANSWER);
            outlook.due = outlook.due.into_iter().chain(due).min();
        }
        outlook
    }

    /// The API server took the question about an object.
    pub(super) fn taken(&mut self, uid: &str) {
        let asked = self.known.values_mut().filter_map(|rival| rival.asked.as_mut());
        asked.filter(|question| *question.uid == *uid).for_each(|question| question.taken = true);
    }

    /// Those that do not answer.
    pub(super) fn gone(&self) -> BTreeSet<Place> {
        let gone = self.known.iter().filter(|(_, rival)| rival.gone);
        gone.map(|(place, _)| place.clone()).collect()
    }
}

impl Rival {
    /// Takes in what the objects that it holds say.
    fn hear(&mut self, objects: &[&Object], own: &str, now: Instant) {
        let asks = |object: &Object| object.status.contender.as_deref() == Some(own);
        // Who comes back answers what was asked long ago.
        self.gone &= objects.iter().any(|object| asks(object));
        let Some(question) = &self.asked else { return };
        if now < question.at + ANSWER {
            return;
        }
        let asked = objects.iter().find(|object| object.uid == question.uid);
        match asked {
            Some(object) if asks(object) => self.gone = true,
            Some(_) if question.taken => self.answered = Some(now),
            _ => {}
        }
        if !self.gone {
            self.asked = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(contender: Option<&str>) -> Object {
        let object = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel", "spec": {"services": []},
            "metadata": {"name": "t", "namespace": "n", "uid": "u"},
            "status": {"controller": "other/adit", "contender": contender},
        });
        Object::read(&serde_json::from_value(object).unwrap())
    }

    fn look(rivals: &mut Rivals, object: &Object, now: Instant) -> (usize, bool) {
        let outlook = rivals.look(&[("other/adit", object)], "own/adit", now);
        (outlook.ask.len(), !rivals.gone().is_empty())
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_answers_is_asked_again_after_ten_minutes_only() {
        let (mut rivals, began) = (Rivals::default(), Instant::now());
        let (silent, asked) = (object(None), object(Some("own/adit")));
        assert_eq!(look(&mut rivals, &silent, began), (1, false));
        rivals.taken("u");
        assert_eq!(look(&mut rivals, &asked, began + ANSWER / 2), (0, false));
        let answered = began + ANSWER;
        assert_eq!(look(&mut rivals, &silent, answered), (0, false));
        assert_eq!(look(&mut rivals, &silent, answered + AGAIN / 2), (0, false));
        assert_eq!(look(&mut rivals, &silent, answered + AGAIN), (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_does_not_answer_is_gone_until_it_says_something() {
        let (mut rivals, began) = (Rivals::default(), Instant::now());
        let (silent, asked) = (object(None), object(Some("own/adit")));
        look(&mut rivals, &silent, began);
        rivals.taken("u");
        assert_eq!(look(&mut rivals, &asked, began + ANSWER), (0, true));
        assert_eq!(look(&mut rivals, &asked, began + 2 * ANSWER), (0, true));
        assert_eq!(look(&mut rivals, &silent, began + 3 * ANSWER), (0, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_was_not_taken_proves_nothing() {
        let (mut rivals, began) = (Rivals::default(), Instant::now());
        let silent = object(None);
        look(&mut rivals, &silent, began);
        assert_eq!(look(&mut rivals, &silent, began + ANSWER), (1, false), "asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_installation_is_spoken_of_once() {
        let (mut rivals, now, object) = (Rivals::default(), Instant::now(), object(None));
        let held = [("other/adit", &object)];
        assert_eq!(rivals.look(&held, "own/adit", now).news, [("other/adit".into(), 1)]);
        assert!(rivals.look(&[], "own/adit", now).news.is_empty());
        assert!(rivals.look(&held, "own/adit", now).news.is_empty());
    }
}
