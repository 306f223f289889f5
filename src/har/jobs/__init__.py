"""Everything the project does, one module per verb; each runs without Prefect.

ingest     inbox files into the lake
train      a challenger from the lake, judged against the champion
evaluate   cross-validation by subject
score      predictions and profiles for what no model has scored
summarise  minutes per activity, a table and a page per day
collect    the online service's log into the lake
monitor    drift reports, and what is decided on them
label      labels that people give as a table
package    the champion as two tried bentos
reproduce  a registered version trained again and compared
"""
