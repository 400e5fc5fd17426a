"""Phases, loop, schedules, class weights, feature cache, resume."""
