"""What is known of products, in a folder that people edit: found for a photo, told to a model, shown in reports.

After the knowledge module of ADSeeker (arXiv 2508.03088): Q2K retrieval of visual documents.
"""
