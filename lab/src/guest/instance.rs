//! A program in a guest's kernel, run as it is: the host's side.

use std::cell::RefCell;
use std::rc::Rc;

use super::message::{Reply, Request};
use super::{GuestError, Machine};
use crate::cause::explain;
use crate::kernel::NAME;
use crate::kernel::instance::{self, Host, HostError};

/// A machine as a host. Whoever asks it takes it from whoever did before.
#[derive(Debug, Clone)]
pub struct Guest(pub Rc<RefCell<Machine>>);

impl Host for Guest {
    fn name(&self) -> String {
        format!("{}@{}", NAME, self.0.borrow().line())
    }

    fn ask(&mut self, request: &instance::Request) -> Result<instance::Reply, HostError> {
        match self.0.borrow_mut().ask(&Request::Instance(request.clone())) {
            Ok(Reply::Instance(reply)) => Ok(reply),
            Ok(_) => Err(HostError::Unavailable("it answered something else".to_owned())),
            Err(GuestError::Refused { reason, .. }) => Err(HostError::Refused(reason)),
            Err(error) => Err(HostError::Unavailable(explain(&error))),
        }
    }
}
