"""Arrays, dataframes, bags and delayed values of dask, computed by a client.

`graphs` makes a list of nodes out of what dask hands over, `packing` turns nodes into bytes,
`submitting` sends them; `computing` is what both clients offer, `defaults` has dask choose
a client by itself. Dask is imported when it is needed, by the first three.
"""
