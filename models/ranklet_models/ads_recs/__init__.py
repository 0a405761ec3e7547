"""ads-recs: the next best actions of an advertiser, trained and measured on the simulator."""
