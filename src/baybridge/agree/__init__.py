"""VERB: agree. Negotiate, sign, suspend, revoke, close: each act checks who, moves the state, and is entered, in one transaction."""

from baybridge.agree.acts import Agree
from baybridge.agree.desk import Desk
from baybridge.agree.guards import MAX_REASON
from baybridge.agree.inbox import Inbox
from baybridge.agree.umbrellas import SignTogether

__all__ = ["MAX_REASON", "Agree", "Desk", "Inbox", "SignTogether"]
