"""The steps of the offline pipeline: recordings in, a judged model out.

`data_contract`, `train_smoke`, `difference`, `comment` and `train_image` judge a change of the code; `data`, `gate`,
`schedules` and `report` deliver.
"""
