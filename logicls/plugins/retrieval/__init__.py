"""Retrieval of product knowledge: pages that people edit, found by photo, added to prompts and shown in reports.

After the knowledge module of ADSeeker (arXiv 2508.03088), query-image-to-knowledge (Q2K) RAG over visual documents.
"""
