"""A reader whose model runs on a server: what it is asked about, in what manner, and over what connection."""
