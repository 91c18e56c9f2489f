"""The lab: panels of knobs, people, prompts and trainings for a notebook that is opened by hand."""
