//! What becomes of the children of each object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::children::Children;
use crate::control::fleet::Member;
use crate::control::object::Key;
use crate::control::store::Store;
use crate::control::translate::{Translation, Translator, Verdict};

/// What becomes of an object's children.
#[derive(Debug)]
pub(in crate::control) enum Wish {
    /// There shall be exactly these.
    Exactly(Children),
    /// There shall be these; others may belong to services that are wrong now.
    AtLeast(Children),
    /// Nobody knows: what is there stays, with the endpoints as they are now.
    AsItIs,
}

/// By the object and its uid.
pub(in crate::control) type Wishes = BTreeMap<(Key, Arc<str>), Wish>;

/// The wishes for all objects that are this instance's.
pub(in crate::control) fn wishes(
    instance: &str,
    store: &Store,
    (translator, translation): (&Translator, &Translation),
    members: &[Member],
) -> Wishes {
    let mut wishes = Wishes::new();
    for object in store.objects() {
        // Its children are another installation's too, which may have this one's name.
        if translator.holders().have(object) {
            continue;
        }
        let (key, uid) = (&object.key, &object.uid);
        let verdict = translation.verdicts.get(key);
        let wish = match (verdict, verdict.and_then(Verdict::exposing)) {
            // Invalid, on its way out, or of a class that is not ours, perhaps not any more.
            (_, None) => Wish::AsItIs,
            (_, Some(good)) => {
                let exposed = translator.exposed(object, good);
                let children = Children::of(instance, (key, uid), &exposed, members);
                if good.is_part() { Wish::AtLeast(children) } else { Wish::Exactly(children) }
            }
        };
        wishes.insert((key.clone(), uid.clone()), wish);
    }
    wishes
}
