"""One module a verb: request in, result out; nothing is printed."""
